"""A later version of a workflow, which calls another operation than the recorded one."""

from datetime import timedelta

from durable_async import DurableContext, durable_execution

from .workflows import mail


@durable_execution
async def gated(event: dict, ctx: DurableContext) -> str:
    await ctx.wait_for_callback(mail, name="gate 1")
    await ctx.wait(timedelta(hours=1), name="cooling off")
    return "through"
