"""What differs on uvloop: its queue is in C, and its timers count whole milliseconds."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context, copy_context

import pytest

from durable_async import durable_execution
from durable_async._engine.rest import queue_of
from durable_async._engine.timers import Timers
from tests.world import World

pytest.importorskip("uvloop")

import uvloop

from tests.uvloops import VirtualUvloop, WrappingUvloop

DEBUG = pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])


def run_on(loop_factory, main, *, debug=False):
    with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
        return runner.run(main())


def about_to_run():
    """Return what the running loop is going to run in this turn and the next, as far as its queue shows it."""
    queue = queue_of(asyncio.get_running_loop())
    assert queue is not None
    handles, shown = queue
    return [*map(shown, handles.copy())]


def tasks_about_to_run():
    callers = [getattr(callback, "__self__", None) for _, callback in about_to_run()]
    return [caller for caller in callers if isinstance(caller, asyncio.Task)]


# --- the queue ---


@DEBUG
def test_the_queue_shows_callbacks_in_their_order_and_with_their_contexts(debug):
    async def main():
        loop, first, second = asyncio.get_running_loop(), Context(), Context()
        loop.call_soon(print, "one", context=first)
        loop.call_soon_threadsafe(print, context=second)
        loop.call_later(0, print, "at once", context=first)
        loop.call_soon(print, context=second).cancel()
        shown = about_to_run()[:4]
        assert [callback for _, callback in shown] == [print, print, print, None]
        assert all(context is its for (context, _), its in zip(shown, (first, second, first, second), strict=True))

    run_on(uvloop.new_event_loop, main, debug=debug)


@DEBUG
def test_the_queue_shows_which_tasks_begin_or_continue(debug):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def waits():
            await future

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        assert tasks_about_to_run() == []
        future.set_result(None)
        beginning = asyncio.create_task(asyncio.sleep(0))
        assert tasks_about_to_run() == [waiting, beginning]
        await asyncio.wait([waiting, beginning])

    run_on(uvloop.new_event_loop, main, debug=debug)


def test_the_queue_shows_what_a_thread_puts_there():
    async def main():
        loop, context = asyncio.get_running_loop(), copy_context()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(print, context=context))
        thread.start()
        thread.join()
        assert any(shown[0] is context and shown[1] is print for shown in about_to_run())

    run_on(uvloop.new_event_loop, main)


def test_the_queue_of_a_loop_whose_handles_keep_something_else_alive_is_not_known():
    async def main():
        return queue_of(asyncio.get_running_loop())

    assert run_on(WrappingUvloop, main) is None


# --- the timers ---


def test_a_timer_that_is_due_at_once_is_replaced_by_none_that_is_due_later():
    """uvloop has no timer for it, but puts it into the queue: what it returns has no time."""
    asked = []

    async def main():
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        answered.set_result(None)

        def refresh():
            asked.append(timers.next_due())
            return answered

        timers = Timers(loop, lambda: 1000.0, lambda operation_id: True, refresh)
        timers.add("due", 1000.0)
        timers.add("due in an hour", 4600.0)
        await asyncio.sleep(0)
        timers.close()

    run_on(uvloop.new_event_loop, main)
    assert asked == [4600.0]


def test_a_timer_that_comes_a_little_early_does_not_keep_the_loop_turning():
    @durable_execution
    async def slow_steps(event, ctx):
        for n in range(20):
            await ctx.step(asyncio.sleep, 1 + n / 1000)

    class Counting(VirtualUvloop):
        turns = 0

        def _turn(self):
            self.turns += 1
            super()._turn()

    async def main():
        async with World() as world:
            ended = await world.run(slow_steps)
        return ended.status, asyncio.get_running_loop().turns

    status, turns = run_on(Counting, main)
    assert status == "SUCCEEDED"
    assert turns < 1000
