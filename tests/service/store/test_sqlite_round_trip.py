"""Whatever happened to an execution, a fresh store gives it back as it was."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_async.service import machine
from durable_async.service.machine import ChainedOutcome, Changes, Parent
from durable_async.service.model.history import EventType, HistoryEvent
from durable_async.service.store.sqlite import SqliteStore
from tests.property_runs import examples
from tests.service.machine.machine_driver import Targets, callback, context, invoke, step, update, wait
from tests.service.machine.test_machine_stateful import Executions
from tests.service.store.store_support import World, opened, view


class KeptExecutions(Executions):
    """Each command is saved as it ends, and what a fresh store gives is compared with what is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.path = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "service.db"
        self.loop = self.stack.enter_context(asyncio.Runner())
        self.store = SqliteStore(self.path, durability="normal", inline_payload=4)  # so that some are long
        self.loop.run(self.store.open())
        self.added = False

    def absorb(self) -> None:
        expected = view(self.execution)
        self.loop.run(self.save())
        super().absorb()
        assert self.loop.run(self.kept()) == expected

    async def save(self) -> None:
        changes = self.execution.changes
        if self.added:
            await self.know()
            await self.store.save(self.execution, changes)
        else:
            self.added = True
            assert await self.store.add(self.execution, changes) is None

    async def know(self) -> None:
        """After a restart the machine goes on with another object, which the store is to take for the one it loads."""
        residents = self.store._residents
        if residents.get("e1") is not self.execution:
            residents.forget("e1")
            state = residents.state(await self.store.load("e1"))
            residents.forget("e1")
            residents.admit(self.execution, state)

    async def kept(self):
        async with opened(self.path, read_only=True) as store:
            return view(await store.load("e1"))

    async def kept_events(self):
        async with opened(self.path, read_only=True) as store:
            return await store.events("e1", 1, 10_000, newest_first=False)

    def teardown(self) -> None:
        try:
            super().teardown()
            if self.added:
                assert self.loop.run(self.kept_events()) == self.events
        finally:
            self.loop.run(self.store.aclose())
            self.stack.close()


KeptExecutions.TestCase.settings = settings(max_examples=examples(25), stateful_step_count=30, deadline=None)
TestKeptExecutions = KeptExecutions.TestCase


async def again(path, execution):
    async with opened(path, read_only=True) as store:
        loaded = await store.load(execution.id)
        return loaded, await store.events(execution.id, 1, 10_000, newest_first=False)


async def test_what_hardly_ever_is_there_comes_back(tmp_path):
    path = tmp_path / "service.db"
    async with opened(path) as store:
        world = World(store)
        execution = world.new("a")
        execution.tenant_id, execution.parent = "tenant", Parent("p1", "o1")
        machine.pause(execution, "because", world.at, timeout_paused=True)
        execution.timeout_ms, execution.failures, execution.crashes, execution.idle_answers = 1, 2, 3, 4
        execution.deferred, execution.invoke_at_ms = True, 5
        execution.invocation.waiting = True
        await store.add(execution, execution.take_changes())
        loaded, _ = await again(path, execution)
        assert view(loaded) == view(execution)


EACH = [
    step("SUCCEED", "plain"),
    step("SUCCEED", "result", Name="n", SubType="Step", Payload="1"),
    step("FAIL", "error", Error={"ErrorType": "E"}),
    step("RETRY", "retry", delay=5),
    wait(9),
    callback("timeout", timeout=9),
    callback("heartbeat", heartbeat=9),
    update("schema", "CALLBACK", "START", CallbackOptions={"AnswerSchema": "{}"}),
    invoke(),
    context("SUCCEED", "replayed", ContextOptions={"ReplayChildren": True}),
]


@pytest.mark.parametrize("copies", [1, 20], ids=["few", "many"])
@pytest.mark.parametrize("order", [1, -1], ids=["forward", "backward"])
async def test_operations_of_one_write_that_have_nothing_in_common_come_back(tmp_path, order, copies):
    """The statement that writes them has the columns of all, wherever the first one with a value stands."""
    updates = [{**each, "Id": f"{each['Id']}{number}"} for each in EACH for number in range(copies)]
    path = tmp_path / "service.db"
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        history = [*execution.changes.events]
        machine.checkpoint(
            execution, machine.Checkpoint(execution.invocation.token, updates[::order]), Targets(), world.at
        )
        history += execution.changes.events
        await world.save(execution)
        loaded, events = await again(path, execution)
        assert view(loaded) == view(execution)
        assert [event.details for event in events[1:]] == [event.details for event in history]


LONG = "x" * 1000


@pytest.mark.parametrize("payload", [None, "{}", LONG], ids=["none", "short", "long"])
@pytest.mark.parametrize("target", ["echo", "flow:$LATEST"])
async def test_a_chained_invoke_and_its_held_outcome_come_back(tmp_path, payload, target):
    path = tmp_path / "service.db"
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        for outcome in (ChainedOutcome("SUCCEEDED", payload), ChainedOutcome("FAILED", error={"ErrorMessage": LONG})):
            operation_id = f"i{len(execution.operations)}"
            await world.write(execution, invoke(target, operation_id, Payload=payload))
            machine.chained_invoke_ended(execution, operation_id, outcome, world.at)
            assert execution.held
            await world.save(execution)
            loaded, _ = await again(path, execution)
            assert view(loaded) == view(execution)


TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["", "\x00", "\ud800", "\udc80 end", "\U0001f600", "ü" * 300, "\ud800" * 300, LONG + "\x00\udfff"]
)


@settings(max_examples=examples(40), deadline=None)
@given(payload=TEXTS, message=TEXTS)
def test_any_text_comes_back(payload, message):
    """Lone surrogates, too: JSON may hold them."""

    async def check(path):
        async with opened(path) as store:
            world = World(store)
            execution = await world.start("a", payload=payload)
            error = {"ErrorType": message, "ErrorMessage": message, "StackTrace": [message]}
            await world.write(
                execution,
                step("SUCCEED", "s", Payload=payload),
                step("FAIL", "f", Error=error),
                context("FAIL", "x", Error={}),
                callback("c"),
                invoke("echo", "i", Payload=payload),
            )
            events = await store.events(execution.id, 1, 100, newest_first=False)
            machine.pause(execution, message, world.at, timeout_paused=False)
            await world.save(execution)
            loaded, kept = await again(path, execution)
            assert view(loaded) == view(execution)
            assert kept[: len(events)] == events
            texts = {event.details["Input"] for event in kept if "Input" in event.details}
            assert texts == {payload}

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory) / "service.db"))


async def test_an_event_comes_back_with_all_its_details(tmp_path):
    details = {"Result": LONG, "RetryDetails": {"CurrentAttempt": 1}, "Duration": 2, "CallbackId": "c", "Error": None}
    path = tmp_path / "service.db"
    async with opened(path) as store:
        execution = await World(store).start("a")
        event = HistoryEvent(2, EventType.STEP_SUCCEEDED, 7, details, "s", "name", "Step", "x")
        await store.save(execution, Changes(events=[event]))
        _, events = await again(path, execution)
        assert events[1] == event
