"""A program that embeds the service is killed as a whole, at any moment, and started again.

``DURABLE_ASYNC_PROCESS_KILLS`` (8) is how often, ``DURABLE_ASYNC_EXECUTIONS`` (40) how many executions it has.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict

import attrs
import pytest

from durable_async.embedded import DurableService, HistoryEvent

from .embedded import CHILDREN, ITEMS, child, expected, workflow
from .massacre import PATIENCE, ROOT, Line

KILLS = int(os.environ.get("DURABLE_ASYNC_PROCESS_KILLS", "8"))
EXECUTIONS = int(os.environ.get("DURABLE_ASYNC_EXECUTIONS", "40"))
ANY_MOMENT = 0.3  # of the kills
STEPS = ["plain", "charge", "flaky", "last", *(f"double-{n}" for n in range(ITEMS))]
ONCE = ("charge", "last", "after")
MISTAKEN = """
    SELECT id, event_count, (SELECT count(*) FROM events WHERE execution = position) AS counted FROM executions
    WHERE event_count <> counted
"""  # executions whose record does not agree with itself

pytestmark = pytest.mark.slow


@attrs.frozen
class Aftermath:
    histories: dict[str, list[HistoryEvent]]
    statuses: dict[str, str]
    results: dict[str, list]
    lines: list[Line]
    killed: list[int]
    integrity: str
    children: list[str]
    mistaken: list[tuple]


@pytest.fixture(scope="module", params=["full", "normal"])
def aftermath(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    file = folder / "w.db"
    killed = [kill(file, folder, request.param) for _ in range(KILLS)]
    finished = start(file, folder, request.param)
    assert finished.communicate(timeout=PATIENCE)[0].split()[-1] == "done"
    assert finished.returncode == 0
    with sqlite3.connect(file) as connection:
        integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        mistaken = connection.execute(MISTAKEN).fetchall()
    connection.close()
    lines = [Line.read(text) for text in (folder / "journal").read_text().splitlines()]
    return Aftermath(**asyncio.run(looked_at(file)), lines=lines, killed=killed, integrity=integrity, mistaken=mistaken)


def start(file, folder, durability):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kill.embedded", str(file), str(folder), str(EXECUTIONS), durability],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(file, folder, durability):
    """Start it, and kill it: at any moment, or in or soon after a body that it was seen to begin."""
    process = start(file, folder, durability)
    assert process.stdout.readline() == "open\n"
    if random.random() < ANY_MOMENT:
        time.sleep(random.uniform(0, 0.8))
    else:
        wait_for_a_body(folder / "journal", process)
        time.sleep(random.uniform(0, 0.01))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)
    return process.pid


def wait_for_a_body(journal, process):
    """Return when the process begins the body of a step, or has nothing left to do."""
    seen = journal.stat().st_size if journal.exists() else 0
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > seen):
        time.sleep(0.0005)


async def looked_at(file):
    async with DurableService(file) as service:
        service.register(workflow)
        service.register(child)
        found = [await service.find(workflow, f"n-{number}") for number in range(EXECUTIONS)]
        return {
            "histories": {each.name: await each.history() for each in found},
            "statuses": {each.name: await each.status() for each in found},
            "children": [each.status async for each in service.executions(child)],
            "results": {each.name: await each.result() for each in found},
        }


def test_every_execution_ends_with_the_right_result(aftermath):
    assert set(aftermath.statuses.values()) == {"SUCCEEDED"}
    assert aftermath.results == {f"n-{number}": expected(number) for number in range(EXECUTIONS)}


def test_every_chained_child_is_one_execution_and_ends(aftermath):
    assert aftermath.children == ["SUCCEEDED"] * CHILDREN * EXECUTIONS


def test_every_record_agrees_with_itself(aftermath):
    assert aftermath.mistaken == []


def test_the_kills_hit_something(aftermath):
    lost = [
        event
        for history in aftermath.histories.values()
        for event in history
        if event.type == "InvocationCompleted"
        and (event.details.get("Error") or {}).get("ErrorType") == "Runtime.ExitError"
    ]
    assert len(lost) >= KILLS / 4
    assert len({line.pid for line in aftermath.lines} & {*aftermath.killed}) >= KILLS / 4


def test_the_file_is_whole(aftermath):
    assert aftermath.integrity == "ok"


def test_no_completed_step_runs_again(aftermath):
    completed = {
        (name, event.name): event.at_us / 1_000_000
        for name, history in aftermath.histories.items()
        for event in history
        if event.type == "StepSucceeded" and event.name
    }
    assert {step for _, step in completed} >= {*STEPS}
    late = [
        line
        for line in aftermath.lines
        if line.what == "begin" and line.at > completed.get((line.execution, line.step), float("inf")) + 0.002
    ]
    assert late == []


def test_no_at_most_once_body_runs_twice_in_an_attempt(aftermath):
    begun = Counter(line.of for line in aftermath.lines if line.what == "begin" and line.step in ONCE)
    assert len(begun) >= 2 * EXECUTIONS
    assert {attempt: times for attempt, times in begun.items() if times > 1} == {}


def test_attempts_are_numbered_without_a_gap(aftermath):
    attempts = defaultdict(set)
    for line in aftermath.lines:
        attempts[line.execution, line.step].add(line.attempt)
    flaky = {execution: numbers for (execution, step), numbers in attempts.items() if step == "flaky"}
    assert flaky == {f"n-{number}": {*range(1, number % 3 + 2)} for number in range(EXECUTIONS)}


def test_the_histories_are_dense_and_end_once(aftermath):
    for history in aftermath.histories.values():
        assert [event.id for event in history] == [*range(1, len(history) + 1)]
        types = Counter(event.type for event in history)
        assert types["ExecutionSucceeded"] == 1
        assert types["ExecutionPaused"] == 0  # nobody is suspected for what others did
        assert types["WaitSucceeded"] == types["CallbackSucceeded"] == 1
