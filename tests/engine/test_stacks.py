"""``format_stacks``: what the workflows of a process wait for, and where."""

import asyncio
import inspect
import signal
import sys
import threading
import time
from datetime import timedelta

import pytest

from durable_async import durable_execution, format_stacks
from durable_async.embedded import DurableService

HOUR = timedelta(hours=1)


def _line(function, text: str) -> str:
    """How a trace shows the line of ``function`` that contains ``text``."""
    lines, first = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, first) if text in line)
    return f'    File "{__file__}", line {number}, in {function.__name__}\n      {text}\n'


async def _shown(workflow, *, until=asyncio.sleep, threads=64):
    """Start ``workflow``, and return what is shown of it a moment later."""
    async with DurableService(threads=threads) as service:
        service.register(workflow)
        execution = await service.start(workflow, 1)
        for _ in range(50):
            await asyncio.sleep(0)
        await until(0)
        shown = format_stacks()
        await execution.stop()
        first, _, rest = shown.partition("\n")
        assert first == execution.arn
        return rest


async def hangs():
    await asyncio.Event().wait()


async def test_a_step_shows_the_lines_of_its_body():
    async def calls():
        await hangs()

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(calls, name="charge")

    assert await _shown(workflow) == (
        "  the workflow: Step 'charge', attempt 1\n"
        + _line(workflow.workflow, 'await ctx.step(calls, name="charge")')
        + _line(calls, "await hangs()")
        + _line(hangs, "await asyncio.Event().wait()")
    )


async def test_each_task_shows_its_operations():
    async def branch(ctx):
        await ctx.step(hangs, name="inner")

    @durable_execution
    async def workflow(event, ctx):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.run_in_child_context(branch), name="first")
            tasks.create_task(ctx.wait(HOUR, name="cooling off"), name="second")

    shown = await _shown(workflow)
    assert shown.startswith("  the workflow\n")
    assert "  first: RunInChildContext 'branch' > Step 'inner', attempt 1\n" in shown
    assert _line(branch, 'await ctx.step(hangs, name="inner")') in shown
    assert shown.endswith("  second: Wait 'cooling off'\n")


async def test_tasks_at_the_same_lines_are_shown_once():
    async def item(ctx, value):
        await ctx.step(hangs)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.map(item, range(100), name="all")

    shown = await _shown(workflow)
    names = "".join(f"  map-item-{index}: Step 'hangs', attempt 1\n" for index in range(5))
    assert f"{names}  and 95 more\n" in shown
    assert shown.count(_line(item, "await ctx.step(hangs)")) == 1


async def test_a_sync_step_shows_the_lines_of_its_thread():
    begun, released = threading.Event(), threading.Event()

    def blocks():
        begun.set()
        released.wait()

    @durable_execution
    async def workflow(event, ctx):
        await asyncio.gather(ctx.step(blocks, name="first"), ctx.step(blocks, name="second"))

    async def until(_):
        await asyncio.to_thread(begun.wait)

    try:
        shown = await _shown(workflow, until=until, threads=1)
    finally:
        released.set()
    assert "Step 'first', attempt 1\n" + _line(blocks, "released.wait()") in shown
    assert "Step 'second', attempt 1, waits for a free worker thread\n" in shown


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a task does not tell its context")
async def test_tasks_that_a_body_starts_belong_to_its_execution():
    async def fans_out():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hangs(), name="request")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(fans_out)

    assert f"  request: in Step 'fans_out', attempt 1\n{_line(hangs, 'await asyncio.Event().wait()')}" in await _shown(
        workflow
    )


async def test_code_that_blocks_the_loop_is_shown_from_a_signal_handler():
    shown = []

    def blocks():
        signal.raise_signal(signal.SIGUSR1)

    async def calls():
        blocks()

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(calls)

    before = signal.signal(signal.SIGUSR1, lambda *_: shown.append(format_stacks()))
    try:
        async with DurableService() as service:
            service.register(workflow)
            await (await service.start(workflow, 1)).result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    [text] = shown
    assert _line(calls, "blocks()") + _line(blocks, "signal.raise_signal(signal.SIGUSR1)") in text


async def test_only_the_execution_that_is_asked_for_is_shown():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(hangs)

    async with DurableService() as service:
        service.register(workflow)
        first, second = [await service.start(workflow, 1) for _ in range(2)]
        for _ in range(50):
            await asyncio.sleep(0)
        both = format_stacks()
        assert first.arn in both and second.arn in both
        assert second.arn not in format_stacks(first.arn)
        assert format_stacks("arn:of:another") == ""
        await first.stop()
        await second.stop()


async def test_a_program_without_workflows_shows_nothing():
    assert format_stacks() == ""


def test_a_loop_of_another_thread_can_be_asked():
    loop, waits = asyncio.new_event_loop(), threading.Event()

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(hangs)

    async def runs():
        async with DurableService() as service:
            service.register(workflow)
            execution = await service.start(workflow, 1)
            waits.set()
            await ended.wait()
            await execution.stop()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[runs()])
    thread.start()
    waits.wait()
    while "Step 'hangs'" not in format_stacks(loop=loop):
        time.sleep(0.01)
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()
    with pytest.raises(RuntimeError):
        format_stacks()
