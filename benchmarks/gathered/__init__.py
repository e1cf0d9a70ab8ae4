"""Three coroutines of three steps each, gathered, once for each contender; a process runs it to its end or to a crash.

The workflow is what one writes in asyncio, not what a contender's manual advises: DBOS has ``reserve_step`` for this,
and the fork has child contexts. The question is what happens to somebody who doesn't know.
"""
