"""Suite ``wait``: durations."""

from datetime import timedelta

from durable_async import DurableContext, durable_execution

TWO_SECONDS = timedelta(seconds=2)


def waiting(duration: timedelta):
    @durable_execution
    async def wait(event, ctx: DurableContext):
        await ctx.wait(duration)

    return wait


@durable_execution
async def named(event, ctx: DurableContext):
    await ctx.wait(TWO_SECONDS, name="custom_wait_name")


@durable_execution
async def two_in_sequence(event, ctx: DurableContext):
    names = ["wait-1", "wait-2"]
    for name in names:
        await ctx.wait(TWO_SECONDS, name=name)
    return {"completedWaits": len(names)}


HANDLERS = {
    "2-1": waiting(TWO_SECONDS),
    "2-2": named,
    "2-3": two_in_sequence,
    "2-4": waiting(timedelta(minutes=1)),
    "2-5": waiting(timedelta(hours=1)),
}
