"""Suite ``wait``: durations."""

from datetime import timedelta

from durable_async import DurableContext, durable_execution


def waiting(duration: timedelta):
    @durable_execution
    async def wait(event, ctx: DurableContext):
        await ctx.wait(duration)

    return wait


HANDLERS = {
    "2-1": waiting(timedelta(seconds=2)),
    "2-4": waiting(timedelta(minutes=1)),
    "2-5": waiting(timedelta(hours=1)),
}
