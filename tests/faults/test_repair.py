"""A file in which an older release wrote an old object over a newer row is repaired when the execution is read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from durable_async import durable_execution
from durable_async.cli.doctor import check_store
from durable_async.embedded import DurableService
from durable_async.service.model.errors import DamagedExecutionError
from durable_async.service.store.sqlite import SqliteStore
from durable_async.testing import VirtualTime

DAY = timedelta(days=1)
LONG = "long " * 500

# What the save of an object wrote that knew nothing but the start: the row but for its identity, and operation 0.
OVERWRITE = """
    UPDATE executions SET event_count = 1, unseen = '[]', status = 'RUNNING', ended_ms = NULL, result = NULL,
        result_digest = NULL, error = NULL, error_digest = NULL, timeout_ms = timeout_ms + 5000, failures = 0,
        invocation_request_id = 'an-older-one', invocation_started_ms = started_ms, invocation_token = 'its-token',
        invocation_waiting = 0, due_ms = timeout_ms,
        active = 1, invoke_at_ms = NULL, deferred = 0;
    UPDATE operations SET status = 'STARTED', end_us = NULL WHERE sequence = 0;
"""
ran: list[str] = []


async def body(text: str) -> str:
    ran.append(text)
    return text


@durable_execution
async def closes(text: str, ctx) -> str:
    return await ctx.step(body, text)


@durable_execution
async def waits(text: str, ctx) -> str:
    first = await ctx.step(body, text)
    await ctx.wait(DAY)
    return first + await ctx.step(body, "second")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.db"


async def damaged(path: Path, handler, clock: VirtualTime) -> str:
    """The ARN of an execution that ended, or waits, and was written over."""
    ran.clear()
    async with DurableService(path, clock=clock, max_cached_executions=0) as service:
        service.register(handler)
        arn = (await service.start(handler, LONG, name="a")).arn
        await service.api.idle()
    change(path, OVERWRITE)
    return arn


def change(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


def kept(path: Path) -> tuple[int, str, int]:
    with closing(sqlite3.connect(path)) as connection:
        count = "SELECT count(*) FROM events"
        return connection.execute(f"SELECT event_count, status, ({count}) FROM executions").fetchone()


async def test_an_execution_that_had_ended_has_ended_again(path, caplog):
    clock = VirtualTime()
    arn = await damaged(path, closes, clock)
    (found,) = [finding for finding in check_store(path) if finding.health != "ok"]
    assert found.found == "closes/a: The state of the execution is older than its history"
    assert "repairs it" in found.advice
    async with DurableService(path, clock=clock) as service:
        service.register(closes)
        assert await (await service.start(closes, LONG, name="a")).result() == LONG
        assert [summary.status async for summary in service.executions(closes)] == ["SUCCEEDED"]
    count, status, events = kept(path)
    assert (count, status) == (events, "SUCCEEDED")
    assert ran == [LONG]
    assert f"{arn} was repaired" in caplog.text
    assert {finding.health for finding in check_store(path)} == {"ok"}


async def test_an_execution_that_waited_goes_on_where_it_was(path):
    clock = VirtualTime()
    arn = await damaged(path, waits, clock)
    async with DurableService(path, clock=clock) as service:
        service.register(waits)
        await service.api.idle()
        clock.move_by(DAY.total_seconds() + 60)
        await service.api.fire_due()
        await service.api.idle()
        assert await service.execution(arn).result() == LONG + "second"
    count, status, events = kept(path)
    assert (count, status) == (events, "SUCCEEDED")
    assert ran == [LONG, "second"]


async def test_a_reader_sees_what_it_would_be_repaired_to_and_writes_nothing(path):
    arn = await damaged(path, closes, VirtualTime())
    store = SqliteStore(path, read_only=True)
    await store.open()
    execution = await store.load(arn.rpartition("/")[2])
    await store.aclose()
    assert (execution.status, execution.result) == ("SUCCEEDED", f'"{LONG}"')
    assert kept(path)[:2] == (1, "RUNNING")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("DELETE FROM events WHERE id = 3", id="a gap in the history"),
        pytest.param("UPDATE operations SET id = 'x' WHERE sequence = 1", id="an operation of another name"),
        pytest.param("UPDATE operations SET status = 'STARTED' WHERE sequence = 1", id="one that ended no longer has"),
    ],
)
async def test_what_the_rows_do_not_allow_is_not_repaired(path, script):
    arn = await damaged(path, closes, VirtualTime())
    change(path, script)
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(DamagedExecutionError, match="its row is older than its history, which cannot be decoded"):
        await store.load(arn.rpartition("/")[2])
    await store.aclose()
    assert kept(path)[:2] == (1, "RUNNING")
