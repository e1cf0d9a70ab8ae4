"""Executions to keep, and what must come back of them."""

from __future__ import annotations

import asyncio
import copy
import threading
from contextlib import asynccontextmanager
from typing import Any

import attrs

from durable_async.service import machine
from durable_async.service.machine import Checkpoint, Execution, Moment, NewExecution
from durable_async.service.store import Store
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore
from tests.service.machine.machine_driver import FUNCTION, START_MS, Targets


@asynccontextmanager
async def opened(path, **options):
    store = SqliteStore(path, **{"durability": "normal"} | options)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def opened_by_name(name, path):
    if name == "sqlite":
        async with opened(path) as store:
            yield store
    else:
        yield MemoryStore()


class Gate:
    """Keeps the writing thread, so that a test can put several writes into the next group."""

    def __init__(self, store):
        self._open = threading.Event()
        entered = threading.Event()
        self._passed = store._writer.put(lambda _: (entered.set(), self._open.wait()))
        entered.wait()

    async def open(self):
        self._open.set()
        await self._passed


class World:
    """Commands on executions of one store, as the service would give them. Its clock is moved by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_ms = START_MS
        self.minted = 0

    @property
    def at(self) -> Moment:
        return Moment(self.now_ms * 1000, self.mint)

    def mint(self) -> str:
        self.minted += 1
        return f"m{self.minted}"

    def new(self, name: str, *, function="orders", payload="{}", timeout=86_400, tags=None) -> Execution:
        """Not yet kept."""
        execution_id = f"{function}-{name}"
        arn = f"{FUNCTION}:{function}:$LATEST/durable-execution/{name}/{execution_id}"
        version = f"{FUNCTION}:{function}:$LATEST"
        new = NewExecution(execution_id, arn, name, function, version, "$LATEST", payload, timeout, tags=tags)
        return machine.start(new, self.at)

    async def start(self, name: str, **options) -> Execution:
        execution = self.new(name, **options)
        assert await self.store.add(execution, execution.take_changes()) is None
        return execution

    def write(self, execution: Execution, *updates) -> asyncio.Future[None]:
        """A checkpoint of the running invocation; what is returned waits for it."""
        assert execution.invocation is not None
        machine.checkpoint(execution, Checkpoint(execution.invocation.token, updates), Targets(), self.at)
        return self.save(execution)

    def save(self, execution: Execution) -> asyncio.Future[None]:
        return asyncio.ensure_future(self.store.save(execution, execution.take_changes()))

    def close(self, execution: Execution, result='"done"') -> asyncio.Future[None]:
        output = {"Status": "SUCCEEDED", "Result": result}
        machine.invocation_answered(execution, execution.invocation.request_id, output, self.at)
        return self.save(execution)


_DERIVED = frozenset({"operations", "by_id", "timers", "unseen", "held", "asked", "awaited", "changes", "invocation"})


def view(execution: Execution) -> dict[str, Any]:
    """Everything that a store must give back: no part of it changes with the execution."""
    fields = attrs.asdict(execution, recurse=False, filter=lambda field, _: field.name not in _DERIVED)
    invocation = execution.invocation
    return copy.deepcopy(
        fields
        | {
            "invocation": invocation and attrs.evolve(invocation, answered=None),
            "operations": [attrs.asdict(operation, recurse=False) for operation in execution.operations],
            "by_id": {name: operation.sequence for name, operation in execution.by_id.items()},
            "unseen": [operation.sequence for operation in execution.unseen.values()],
            "held": sorted(each.sequence for each in execution.held if each.held is not None),
            "asked": [operation.sequence for operation in execution.asked.values()],
            "awaited": execution.awaited if execution.open else None,
            "timed": _timers(execution),
            "active": execution.active,
        }
    )


def _timers(execution: Execution) -> list[int]:
    """Operations whose timer fires some time: an entry may be too early, or of one that has ended."""
    entries = {sequence: due for due, sequence in execution.timers}
    timed = [each for each in execution.operations if execution.open and each.timer_ms is not None]
    assert all(entries[each.sequence] <= each.timer_ms for each in timed)
    return [each.sequence for each in timed]
