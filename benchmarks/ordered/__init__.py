"""Programs that decide by the order in which steps end, once for each contender; a process runs one to its end or to a
crash.

They are what one writes in asyncio, and the same code for everybody: a contender only says how a step is called.
"""
