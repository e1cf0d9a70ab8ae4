"""What a handler says once for all of its steps that have no config."""

from datetime import timedelta

import pytest

from durable_async import RetryStrategy, StepConfig, StepSemantics, current_step, durable_execution
from tests.world import World

pytestmark = pytest.mark.anyio

THREE = StepConfig(retry_strategy=RetryStrategy.fixed(max_attempts=3, delay=timedelta(seconds=1)))
ONE = StepConfig()


async def flaky() -> int:
    attempt = current_step().attempt
    if attempt < 3:
        raise ConnectionError("not yet")
    return attempt


async def tells(callback_id: str) -> None:
    await flaky()


async def status_of(workflow, **options):
    async with World() as world:
        closed = await world.run(durable_execution(**options)(workflow))
    return closed.status if closed.status == "SUCCEEDED" else closed.error["ErrorMessage"]


async def one_step(event, ctx):
    return await ctx.step(flaky)


async def in_a_child(event, ctx):
    async def child(ctx):
        return (await ctx.map(lambda ctx, _: ctx.step(flaky), [1])).results()

    return await ctx.run_in_child_context(child)


async def compensated(event, ctx):
    async with ctx.compensations() as undo:
        undo.add_cleanup(flaky)


async def explicit_none(event, ctx):
    return await ctx.step(flaky, config=None)


async def explicit(event, ctx):
    return await ctx.step(flaky, config=ONE)


@pytest.mark.parametrize("workflow", [one_step, in_a_child, compensated, explicit_none])
async def test_steps_without_a_config_take_the_handlers(workflow):
    assert await status_of(workflow, step=THREE) == "SUCCEEDED"


@pytest.mark.parametrize("options", [{}, {"step": None}, {"step": ONE}])
async def test_without_one_a_step_is_attempted_once(options):
    assert await status_of(one_step, **options) == "not yet"


async def test_a_steps_own_config_is_taken_as_it_is():
    assert await status_of(explicit, step=THREE) == "not yet"


async def test_the_submitter_of_a_callback_is_such_a_step():
    async def workflow(event, ctx):
        await ctx.wait_for_callback(tells, timeout=timedelta(seconds=30))

    assert await status_of(workflow, step=THREE) == "Callback timed out"
    assert await status_of(workflow) == "not yet"


async def test_the_handlers_semantics_hold_for_its_steps():
    async def workflow(event, ctx):
        return await ctx.step(lambda: 1, name="once")

    async with World() as world:
        at_most_once = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)
        await world.run(durable_execution(step=at_most_once)(workflow))
        assert world.calls[0] == ["START once"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (RetryStrategy.default(), r"write step=StepConfig\(retry_strategy=\.\.\.\)"),
        (StepConfig, "not the class StepConfig: call it"),
        (6, "config must be a StepConfig, not a int"),
    ],
)
def test_another_object_is_refused_by_the_decorator(given, text):
    with pytest.raises(TypeError, match=text):
        durable_execution(step=given)(one_step)
