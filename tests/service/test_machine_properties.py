"""Whatever a handler, the clock and the world do, in whatever order: what stays true of an execution."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from machine_driver import Driver, callback, context, invoke, step, update, wait

from durable_async.service import machine
from durable_async.service.errors import ApiError, InvalidParameterValueError
from durable_async.service.machine import ChainedOutcome
from durable_async.wire.operations import TERMINAL

IDS = [f"o{n}" for n in range(8)]
ids = st.sampled_from(IDS)
parents = st.none() | ids
delays = st.integers(1, 4)
texts = st.sampled_from(["", "1", '"long enough"'])
errors = st.sampled_from([{}, {"ErrorType": "Boom"}])


def updates():
    """One update, that may be right or wrong at its time."""
    return st.one_of(
        st.builds(lambda o, p: step("START", o, ParentId=p), ids, parents),
        st.builds(lambda o, t: step("SUCCEED", o, Payload=t), ids, texts),
        st.builds(lambda o, e: step("FAIL", o, Error=e), ids, errors),
        st.builds(lambda o, d, e: step("RETRY", o, delay=d, Error=e), ids, delays, errors),
        st.builds(lambda o, d, t: step("RETRY", o, delay=d, Payload=t), ids, delays, texts),
        st.builds(lambda o, p: context("START", o, ParentId=p), ids, parents),
        st.builds(lambda o, r: context("SUCCEED", o, ContextOptions={"ReplayChildren": r}), ids, st.booleans()),
        st.builds(lambda o, e: context("FAIL", o, Error=e), ids, errors),
        st.builds(wait, delays, ids),
        st.builds(lambda o: update(o, "WAIT", "CANCEL"), ids),
        st.builds(callback, ids, st.integers(0, 4), st.integers(0, 4)),
        st.builds(lambda o, t: invoke(t, o), ids, st.sampled_from(["echo", "flow:$LATEST", "nobody", "bad name"])),
    )


def derive(events) -> dict[str, tuple[str, int]]:
    """Status and ended attempts of each operation, from the history alone. READY leaves no event: it shows as PENDING."""
    derived: dict[str, tuple[str, int]] = {}
    for event in events:
        if event.operation_id in (None, "e1"):
            continue
        _, attempts = derived.get(event.operation_id, ("", 0))
        retry = event.details.get("RetryDetails")
        for ending, status in {
            "Started": "STARTED",
            "Succeeded": "SUCCEEDED",
            "Failed": "FAILED",
            "TimedOut": "TIMED_OUT",
            "Cancelled": "CANCELLED",
            "Stopped": "STOPPED",
        }.items():
            if event.type.endswith(ending):
                pending = retry is not None and "NextAttemptDelaySeconds" in retry
                derived[event.operation_id] = (
                    "PENDING" if pending else status,
                    retry["CurrentAttempt"] if retry else attempts,
                )
    return derived


class Executions(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.driver = Driver(timeout=200)
        self.spent: list[str] = []
        self.ended: dict[str, str] = {}

    # --- what may happen ---

    @precondition(lambda self: self.driver.execution.invocation and self.driver.execution.invocation.token)
    @rule(batch=st.lists(updates(), max_size=4))
    def checkpoint(self, batch):
        driver = self.driver
        driver.advance(0)
        before, token = driver.snapshot(), driver.token
        try:
            driver.checkpoint(*batch, token=token)
        except InvalidParameterValueError:
            assert driver.snapshot() == before
            driver.checkpoint(token=token)
            self.spent.append(token)
        else:
            self.spent.append(token)

    @rule(at=st.integers(0, 1000))
    def use_a_spent_token(self, at):
        if self.spent:
            with pytest.raises(InvalidParameterValueError, match="Invalid checkpoint token"):
                self.driver.checkpoint(token=self.spent[at % len(self.spent)])
            self.restore_token()

    def restore_token(self):
        invocation = self.driver.execution.invocation
        self.driver.token = invocation.token if invocation else None

    @precondition(lambda self: self.driver.execution.invocation)
    @rule()
    def suspend(self):
        self.spend()
        self.driver.suspend()

    @precondition(lambda self: self.driver.execution.invocation)
    @rule(kind=st.sampled_from(["Runtime.ExitError", "ValueError"]))
    def crash(self, kind):
        self.spend()
        self.driver.crash(kind)

    def spend(self):
        if self.driver.execution.invocation.token:
            self.spent.append(self.driver.execution.invocation.token)

    @rule(seconds=st.sampled_from([0, 0.5, 1, 3, 20]))
    def time_passes(self, seconds):
        self.driver.advance(seconds)

    @rule(operation_id=ids, how=st.sampled_from(["callback_succeeds", "callback_fails", "heartbeat"]))
    def the_world_calls_back(self, operation_id, how):
        operation = self.driver.execution.by_id.get(operation_id)
        if operation is not None and operation.callback_id is not None:
            with suppress(ApiError):
                getattr(self.driver, how)(operation_id)

    @rule(operation_id=ids, status=st.sampled_from(["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"]))
    def a_target_ends(self, operation_id, status):
        if any(chained.operation_id == operation_id for chained in self.driver.chained):
            self.driver.chained_ends(operation_id, ChainedOutcome(status))

    @rule()
    def pause_or_resume(self):
        if self.driver.execution.pause:
            self.driver.do(machine.resume, None)
        elif self.driver.execution.open:
            with suppress(ApiError):
                self.driver.do(machine.pause, None, timeout_paused=False)

    @precondition(lambda self: len(self.driver.events) > 25)
    @rule()
    def stop(self):
        self.driver.do(machine.stop, None)

    # --- what stays true ---

    @invariant()
    def events_are_numbered_without_gaps(self):
        assert [event.id for event in self.driver.events] == list(range(1, len(self.driver.events) + 1))

    @invariant()
    def an_ended_operation_stays_as_it_ended(self):
        for operation in self.driver.execution.operations:
            seen = repr(operation.in_seconds())
            assert self.ended.get(operation.id, seen) == seen
            if operation.status in TERMINAL:
                self.ended[operation.id] = seen

    @invariant()
    def the_history_tells_every_operations_state(self):
        recorded = {
            operation.id: (str(operation.status).replace("READY", "PENDING"), operation.attempts)
            for operation in self.driver.execution.operations[1:]
        }
        assert derive(self.driver.events) == recorded

    @invariant()
    def what_is_awaited_is_counted(self):
        execution = self.driver.execution
        assert execution.awaited == sum(operation.awaited for operation in execution.operations)

    @invariant()
    def each_timer_has_one_entry_that_comes_in_time(self):
        execution = self.driver.execution
        for operation in execution.operations if execution.open else ():
            entries = [due for due, sequence in execution.timers if sequence == operation.sequence]
            if operation.timer_ms is not None:
                assert len(entries) == 1
                assert entries[0] <= operation.timer_ms

    @invariant()
    def an_open_execution_always_goes_on_or_waits_for_something(self):
        execution = self.driver.execution
        if execution.status == "RUNNING" and execution.invocation is None:
            assert execution.awaited or execution.invoke_at_ms is not None
            assert execution.invoke_at_ms is not None or not execution.unseen

    @invariant()
    def it_closes_once(self):
        assert self.driver.closings == (0 if self.driver.execution.open else 1)


Executions.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestExecutions = Executions.TestCase
