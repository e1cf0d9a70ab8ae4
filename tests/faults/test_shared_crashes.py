"""Executions that were in the process when it was killed, or when another of them ended it."""

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import InvocationRetryPolicy
from durable_async.service.runtime.trial import Trial

from .crash_image import crash_image
from .together import COUNT

ROOT = Path(__file__).parents[2]
POLICY = InvocationRetryPolicy(first_delay_ms=1, longest_delay_ms=1)


class Steps:
    """Counts those that are in their step, and holds them there."""

    def __init__(self):
        self.inside = 0
        self.end = asyncio.Event()

    async def work(self, value):
        self.inside += 1
        await self.end.wait()
        self.inside -= 1
        return value

    async def all_inside(self, count):
        async with asyncio.timeout(30):
            while self.inside < count:
                await asyncio.sleep(0.01)


def workflow_of(steps):
    @durable_execution
    async def innocent(event: int, ctx: DurableContext) -> int:
        return await ctx.step(steps.work, event, name="work")

    return innocent


async def kill(file, times, inside):
    """Start a service on the file, and leave what a kill would leave; that often. ``inside``: how many run at a kill."""
    for life in range(times):
        steps = Steps()
        workflow = workflow_of(steps)
        async with DurableService(file, retries=POLICY, grace=timedelta(0)) as service:
            service.register(workflow)
            for number in range(COUNT):
                await service.start(workflow, number, name=f"n-{number}")
            await steps.all_inside(inside(life))
            left = crash_image(file, f"left-{life}")
            steps.end.set()
        file = left
    return file


@pytest.mark.parametrize("kills", [1, 2])
async def test_after_one_kill_or_two_all_run_at_once(tmp_path, kills):
    file = await kill(tmp_path / "w.db", kills, lambda _: COUNT)
    steps = Steps()
    workflow = workflow_of(steps)
    async with DurableService(file, retries=POLICY) as service:
        service.register(workflow)
        await steps.all_inside(COUNT)
        steps.end.set()
        found = [await service.find(workflow, f"n-{number}") for number in range(COUNT)]
        assert [await each.result() for each in found] == [*range(COUNT)]


async def test_after_three_kills_halves_run_and_everything_else_beside_them(tmp_path):
    file = await kill(tmp_path / "w.db", 3, lambda _: COUNT)
    steps = Steps()
    workflow = workflow_of(steps)
    async with DurableService(file, retries=POLICY) as service:
        service.register(workflow)
        await steps.all_inside(COUNT // 2)
        fresh = [await service.start(workflow, number, name=f"fresh-{number}") for number in range(3)]
        await steps.all_inside(COUNT // 2 + 3)
        assert steps.inside == COUNT // 2 + 3
        steps.end.set()
        found = [await service.find(workflow, f"n-{number}") for number in range(COUNT)]
        assert [await each.result() for each in found] == [*range(COUNT)]
        assert [await each.result() for each in fresh] == [0, 1, 2]
        for each in found:
            assert "ExecutionPaused" not in {event.type for event in await each.history()}


def test_after_two_real_kills_all_run_at_once(tmp_path):
    def run(then):
        command = [sys.executable, "-m", "tests.faults.together", str(tmp_path / "w.db"), then]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout.readline()
            if then == "hold":
                process.send_signal(signal.SIGKILL)
            return said + process.stdout.read()  # not communicate(), which loses what readline() has read ahead

    assert run("hold") == run("hold") == "together\n"
    assert run("end") == "together\nended\n"


# --- the line of suspects ---


class Suspects:
    """Suspects that run until the test ends them."""

    def __init__(self, crashes, late=()):
        self.trial = Trial(crashes, quarantine_after=10)
        self.running = []
        self.tasks = {}
        for name in crashes:
            self.trial.expect(name)
        for name in crashes:
            if name not in late:
                self.come(name)

    def come(self, name):
        self.tasks[name] = asyncio.create_task(self.run(name))
        asyncio.get_running_loop().call_soon(self.trial.settled, name)

    async def run(self, name):
        async with self.trial.turn(name):
            self.running.append(name)
            await asyncio.Event().wait()

    async def end(self, *names):
        for name in names:
            self.tasks[name].cancel()
            if name in self.running:
                self.running.remove(name)
        await asyncio.wait([self.tasks[name] for name in names])
        await turn()


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_next_half_runs_when_the_first_has_ended():
    suspects = Suspects(dict.fromkeys("abcde", 3))
    await turn()
    assert suspects.running == ["e", "d", "c"]
    await suspects.end("e", "d")
    assert suspects.running == ["c"]
    await suspects.end("c")
    assert suspects.running == ["b", "a"]
    await suspects.end("b", "a")


async def test_those_in_fewer_crashes_are_cleared_first_when_all_have_come():
    suspects = Suspects({"a": 4, "b": 4, "c": 3, "late": 3}, late=["late"])
    await turn()
    assert suspects.running == []
    suspects.come("late")
    await turn()
    assert suspects.running == ["late"]
    for ended, next_ in (("late", ["c"]), ("c", ["a"]), ("a", ["b"])):
        await suspects.end(ended)
        assert suspects.running == next_
    await suspects.end("b")


async def test_one_that_does_not_come_keeps_no_other_waiting():
    suspects = Suspects({"a": 4, "gone": 3}, late=["gone"])
    await turn()
    suspects.trial.settled("gone")
    await turn()
    assert suspects.running == ["a"]
    await suspects.end("a")


async def test_who_is_cancelled_in_the_line_keeps_no_other_waiting():
    suspects = Suspects(dict.fromkeys("abc", 9))
    await turn()
    await suspects.end("b")
    assert suspects.running == ["c"]
    await suspects.end("c")
    assert suspects.running == ["a"]
    await suspects.end("a")
