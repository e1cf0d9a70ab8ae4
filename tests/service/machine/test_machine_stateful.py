"""Whatever handlers, targets, clocks, operators and restarts do to one execution, in whatever order: what stays true.

Every command goes through ``Executions.attempt``, so that what holds of all commands is checked of all of them. The
handler is told of its invocation some time after that began, as it is when functions wait for a free place.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import count, pairwise
from random import Random
from typing import Any, TypeVar

import attrs
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from durable_async._wire.operations import TERMINAL, OperationType
from durable_async.service import machine
from durable_async.service.http.rendering import event_json
from durable_async.service.machine import (
    ChainedOutcome,
    Checkpoint,
    Execution,
    InvocationRetryPolicy,
    Limits,
    Moment,
    NewExecution,
    OperationRecord,
)
from durable_async.service.machine.batch import RULES
from durable_async.service.machine.derive import derive
from durable_async.service.machine.operation import make_callback_id
from durable_async.service.model.errors import ApiError, InvalidParameterValueError
from durable_async.service.model.exported import read_history
from durable_async.service.model.history import HistoryEvent
from tests.property_runs import examples
from tests.service.machine.machine_driver import (
    FUNCTION,
    START_MS,
    Targets,
    callback,
    context,
    invoke,
    step,
    update,
    wait,
)

T = TypeVar("T")

TIMEOUT = 5000  # seconds
REPEATABLE_MS = 15 * 60 * 1000
IDS = [f"o{n}" for n in range(12)]
LATE = "late"  # what a call ends with that nothing may come of

TEXTS = ["", "1", '"long enough"']
ERRORS = [{}, {"ErrorType": "Boom", "ErrorMessage": "it broke"}]
KINDS = [*list(OperationType)[1:], OperationType.CALLBACK, OperationType.CHAINED_INVOKE]
TARGETS = ["echo", "echo", "flow:$LATEST", "nobody", "bad name"]

# Choices among what an execution has at the time: small numbers shrink, and cost less than strategies made each time.
FORKED_OPEN = (OperationType.EXECUTION, OperationType.CONTEXT, OperationType.WAIT, OperationType.CALLBACK)
seeds = st.integers(0, 2**32 - 1)
picks = st.integers(0, 99)
answers = st.sampled_from(["heartbeat", "heartbeat", "succeeded", "failed"])
rarely = st.sampled_from([False, False, False, True])
seconds = st.sampled_from([0.5, 0.9, 1, 2, 3, 20, 60])


def any_update(rng: Random, operation_id: str, kind: OperationType, parent_id: str | None) -> dict[str, Any]:
    """An update of an operation, or one that makes it."""
    delay, text, error = rng.randint(1, 4), rng.choice(TEXTS), rng.choice(ERRORS)
    place = {} if parent_id is None else {"ParentId": parent_id}
    match kind:
        case OperationType.STEP:
            made = [
                step("START", operation_id, **place),
                step("SUCCEED", operation_id, Payload=text),
                step("FAIL", operation_id, Error=error),
                step("RETRY", operation_id, delay=delay, Error=error),
                step("RETRY", operation_id, delay=delay, Payload=text),
            ]
        case OperationType.CONTEXT:
            made = [
                context("START", operation_id, Name=rng.choice("xy"), **place),
                context("SUCCEED", operation_id, Payload=text),
                context("SUCCEED", operation_id, ContextOptions={"ReplayChildren": True}),
                context("FAIL", operation_id, Error=error),
            ]
        case OperationType.WAIT:
            made = [wait(delay, operation_id, **place), update(operation_id, "WAIT", "CANCEL")]
        case OperationType.CALLBACK:
            made = [callback(operation_id, rng.choice([0, 0, 2, 5]), rng.choice([0, 2, 5]), **place)]
        case _:
            made = [invoke(rng.choice(TARGETS), operation_id, Payload="{}", **place)]
    return rng.choice(made)


def batch(rng: Random, execution: Execution) -> list[dict[str, Any]]:
    """Some updates, which are mostly accepted."""
    made: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 3)):
        recorded = rng.choice(execution.operations)
        operation_id = recorded.id if recorded.sequence and rng.random() < 0.5 else rng.choice(IDS)
        known = execution.by_id.get(operation_id)
        kind = known.type if known else rng.choice(KINDS)
        contexts = [each.id for each in execution.operations if each.type is OperationType.CONTEXT]
        one = any_update(rng, operation_id, kind, None if known else rng.choice([None, *contexts]))
        allowed = (known.status if known else None) in RULES[one["Type"], one["Action"]].allowed
        if rng.random() < (0.95 if allowed and operation_id not in {each["Id"] for each in made} else 0.1):
            made.append(one)
    if rng.random() < 0.03:
        how = {"Action": "SUCCEED", "Payload": "1"} if rng.random() < 0.5 else {"Action": "FAIL", "Error": ERRORS[1]}
        made.append({"Id": "end", "Type": "EXECUTION", **how})
    return made


outputs = st.sampled_from(
    [
        *[{"Status": "PENDING"}] * 4,
        {"Status": "SUCCEEDED", "Result": "1"},
        {"Status": "FAILED", "Error": {"ErrorType": "Boom"}},
        {"Status": "SUCCEEDED", "Error": {}},
        {"Status": "Finished"},
        None,
    ]
)
failures = st.sampled_from(["Runtime.ExitError", "Runtime.ExitError", "Sandbox.Timedout", "ValueError"])
policies = st.builds(
    InvocationRetryPolicy,
    immediate=st.sampled_from([0, 2]),
    max_failures=st.sampled_from([None, 8]),
    quarantine_after=st.sampled_from([None, 3]),
)


@attrs.frozen
class Answered:
    """A checkpoint that was accepted."""

    request_id: str
    call: Checkpoint
    at_ms: int
    result: Any


def something_happened_since(rule: str):
    """A precondition of rules that change little: they come between others, and not in rows."""

    def happened(executions) -> bool:
        return executions.latest.get(rule) != len(executions.events) or executions.execution.status != "RUNNING"

    return precondition(happened)


class Executions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.minted = count(1)
        self.events: list[HistoryEvent] = []
        self.begun: list[str] = []  # the request ids of all invocations
        self.told: str | None = None  # the request id of the last invocation whose handler was told
        self.token: str | None = None  # what the handler has
        self.spent: set[str] = set()
        self.last: Answered | None = None
        self.withheld = False  # a pause cut the last invocation short
        self.chained: dict[str, machine.StartChained] = {}
        self.closings = 0
        self.ended: dict[str, str] = {}
        self.latest: dict[str, int] = {}  # how many events there were when a rule was last applied

    @initialize(policy=policies, cancel_before=st.sampled_from([None, None, TIMEOUT - 5]))
    def start(self, policy, cancel_before):
        self.policy = policy
        new = NewExecution(
            "e1",
            f"{FUNCTION}:orders:$LATEST/durable-execution/order-1/e1",
            "order-1",
            "orders",
            f"{FUNCTION}:orders:$LATEST",
            "$LATEST",
            '{"order": 1}',
            TIMEOUT,
            cancel_before_seconds=cancel_before,
        )
        self.execution = machine.start(new, self.at)
        self.absorb()

    # --- the shell ---

    @property
    def at(self) -> Moment:
        return Moment(self.now_ms * 1000, lambda: f"m{next(self.minted)}", Limits(), self.policy)

    @property
    def running(self) -> str | None:
        """The request id of the invocation that runs."""
        return self.execution.invocation.request_id if self.execution.invocation else None

    def absorb(self) -> None:
        changes = self.execution.take_changes()
        self.events += changes.events
        beginnings = [effect for effect in changes.effects if isinstance(effect, machine.InvokeHandler)]
        assert len(beginnings) <= 1, "two invocations at once"
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler(request_id):
                    assert self.execution.status == "RUNNING"
                    assert request_id == self.running
                    self.begun.append(request_id)
                    self.withheld = False
                case machine.StartChained():
                    self.chained[effect.operation_id] = effect
                case machine.ExecutionClosed():
                    self.closings += 1
                case machine.Quarantined():
                    assert self.execution.status == "PAUSED"
        invocation = self.execution.invocation
        if self.token and not (invocation and invocation.token == self.token and self.execution.open):
            self.spent.add(self.token)
            self.token = None

    def waits(self) -> bool:
        """Whether a timer will do something, before the execution times out if it is a young one."""
        due = self.execution.next_due_ms()
        return due is not None and (due != self.execution.timeout_ms or len(self.events) > 30)

    def do_what_is_due(self) -> None:
        machine.fire_due(self.execution, self.at)
        self.absorb()

    def attempt(self, command, *arguments, **options):
        """What a command answers, or the error with which it was refused. Refused, it has changed nothing but what was
        due."""
        self.do_what_is_due()
        before = snapshot(self.execution)
        try:
            return command(self.execution, *arguments, self.at, **options)
        except ApiError as refused:
            assert snapshot(self.execution) == before
            return refused
        finally:
            self.absorb()

    def unheard(self, command, *arguments) -> None:
        """A command that comes too late to mean anything."""
        before = snapshot(self.execution)
        command(self.execution, *arguments, self.at)
        assert snapshot(self.execution) == before

    # --- the handler ---

    def tell(self, whole: bool) -> None:
        """The function takes the invocation, if it has not yet."""
        if self.running == self.told:
            return
        machine.invocation_begun(self.execution, self.running)
        known = {*self.execution.unseen}
        event = machine.invocation_event(self.execution, self.running, Limits(), whole=whole)
        assert event is not None
        self.told, self.token = self.running, event["CheckpointToken"]
        shown = {operation["Id"] for operation in event["InitialExecutionState"]["Operations"]}
        assert {*event["UpdatedOperationIds"]} == known - {"e1"}
        assert whole or shown == known
        assert not self.execution.unseen

    @precondition(lambda self: self.running and self.execution.open)
    @rule(seed=seeds, whole=st.booleans(), checkpoints=st.integers(1, 3))
    def it_works(self, seed, whole, checkpoints):
        self.work(Random(seed), whole, checkpoints, suspends=False)

    @precondition(lambda self: self.running and self.execution.open)
    @rule(seed=seeds, whole=st.booleans(), checkpoints=st.integers(1, 3))
    def it_works_and_suspends(self, seed, whole, checkpoints):
        self.work(Random(seed), whole, checkpoints, suspends=True)

    def work(self, rng, whole, checkpoints, *, suspends):
        self.tell(whole)
        for _ in range(checkpoints):
            if self.token is not None:
                self.checkpoint(rng)
            if self.execution.asked and rng.random() < 0.5:  # some targets are faster than who waits for them
                self.end_target(rng.choice(sorted(self.execution.asked)), ChainedOutcome("SUCCEEDED", '"echo"'))
        if suspends:
            machine.invocation_answered(self.execution, self.told, {"Status": "PENDING"}, self.at)
            self.absorb()

    def checkpoint(self, rng) -> None:
        running, token = self.running, self.token
        call = Checkpoint(token, batch(rng, self.execution), f"call-{token}" if rng.random() < 0.5 else None)
        note(f"checkpoint of {call.updates}")
        result = self.attempt(machine.checkpoint, call, Targets())
        if isinstance(result, ApiError):
            assert isinstance(result, InvalidParameterValueError)
            return
        self.token = result.get("CheckpointToken")
        assert self.token != token and self.token not in self.spent
        assert (self.token is None) == (self.execution.status != "RUNNING")
        self.withheld = self.execution.status == "PAUSED"
        self.last = Answered(running, call, self.now_ms, result) if call.client_token else None

    @precondition(lambda self: self.last)
    @rule(late=rarely)
    def it_repeats_a_checkpoint(self, late):
        """The answer was lost on the way."""
        last = self.last
        self.now_ms += REPEATABLE_MS + 1 if late else 0
        self.do_what_is_due()
        before = snapshot(self.execution)
        result = self.attempt(machine.checkpoint, last.call, Targets())
        assert snapshot(self.execution) == before
        if self.running == last.request_id and self.now_ms - last.at_ms <= REPEATABLE_MS:
            assert result == last.result
        else:
            assert isinstance(result, InvalidParameterValueError)

    @precondition(lambda self: self.running and (len(self.events) > 20 or not self.execution.open))
    @rule(output=outputs, whole=st.booleans())
    def it_answers(self, output, whole):
        if self.execution.open:
            self.tell(whole)
        machine.invocation_answered(self.execution, self.running, output, self.at)
        self.absorb()

    @precondition(lambda self: self.running)
    @something_happened_since("it_fails")
    @rule(kind=failures)
    def it_fails(self, kind):
        self.latest["it_fails"] = len(self.events) + 1
        self.withheld = False  # it is repeated as a failed one, after a delay
        machine.invocation_failed(self.execution, self.running, {"ErrorType": kind}, self.at)
        self.absorb()

    @precondition(lambda self: self.spent)
    @something_happened_since("something_comes_too_late")
    @rule(output=outputs, pick=picks)
    def something_comes_too_late(self, output, pick):
        self.latest["something_comes_too_late"] = len(self.events)
        token = one_of(sorted(self.spent), pick)
        result = self.attempt(machine.checkpoint, Checkpoint(token, [step("START", "stale")], LATE), Targets())
        assert isinstance(result, InvalidParameterValueError)
        assert result.message == "Invalid checkpoint token"
        before = [request_id for request_id in self.begun if request_id != self.running]
        if before:
            request_id = one_of(before, pick)
            self.unheard(machine.invocation_answered, request_id, output)
            self.unheard(machine.invocation_failed, request_id, {"ErrorType": "Runtime.ExitError"})
            self.unheard(machine.invocation_interrupted, request_id)
            assert machine.invocation_event(self.execution, request_id, Limits(), whole=True) is None

    # --- time, the world, operators ---

    @precondition(lambda self: not self.running and self.waits())
    @rule()
    def the_next_timer_is_due(self):
        self.now_ms = max(self.now_ms, self.execution.next_due_ms())
        self.do_what_is_due()

    @something_happened_since("time_passes")
    @rule(passing=seconds)
    def time_passes(self, passing):
        self.latest["time_passes"] = len(self.events)
        self.now_ms += round(passing * 1000)
        self.do_what_is_due()

    @precondition(lambda self: any(each.callback_id for each in self.execution.operations))
    @rule(pick=picks, how=answers, forged=rarely, after=st.sampled_from([0, 0.5, 1.5]))
    def somebody_calls_back(self, pick, how, forged, after):
        self.now_ms += round(after * 1000)
        self.do_what_is_due()
        made = [each for each in self.execution.operations if each.callback_id]
        operation = one_of(made, pick)
        callback_id = operation.callback_id
        if forged:
            callback_id = make_callback_id("e1", operation.sequence, "guessed")
        open_before = operation.status not in TERMINAL and self.execution.open
        match how:
            case "succeeded":
                answer = self.attempt(machine.callback_succeeded, callback_id, b'"yes"')
            case "failed":
                answer = self.attempt(machine.callback_failed, callback_id, {"ErrorType": "No"})
            case _:
                answer = self.attempt(machine.callback_heartbeat, callback_id)
        if forged or not open_before:
            assert isinstance(answer, ApiError)

    @precondition(lambda self: self.execution.asked)
    @rule(status=st.sampled_from(["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"]), pick=picks)
    def a_target_ends(self, status, pick):
        """Told more than once, if a service that restarts asks again."""
        operation_id = one_of(sorted(self.execution.asked if pick % 4 else self.chained), pick)
        self.end_target(operation_id, ChainedOutcome(status, error=None if status == "SUCCEEDED" else {}))

    def end_target(self, operation_id: str, outcome: ChainedOutcome) -> None:
        self.attempt(machine.chained_invoke_ended, operation_id, outcome)

    @something_happened_since("somebody_pauses_or_resumes")
    @rule(timeout_paused=st.booleans(), reason=st.sampled_from([None, "because"]), resume=st.booleans())
    def somebody_pauses_or_resumes(self, timeout_paused, reason, resume):
        self.latest["somebody_pauses_or_resumes"] = len(self.events)
        before = self.running
        if resume:
            refused = self.attempt(machine.resume, reason)
            assert refused is not None or (self.execution.status == "RUNNING" and not (self.withheld and not before))
        else:
            refused = self.attempt(machine.pause, reason, timeout_paused=timeout_paused)
            assert refused is not None or self.execution.status == ("PAUSING" if before else "PAUSED")

    @precondition(lambda self: len(self.events) > 30)
    @rule(error=st.sampled_from([None, *ERRORS]))
    def somebody_stops_it(self, error):
        self.attempt(machine.stop, error)
        assert not self.execution.open

    @precondition(lambda self: len(self.events) > 10)
    @rule(reason=st.sampled_from([None, "because"]))
    def somebody_cancels_it(self, reason):
        known = self.execution.by_id.get("cancellation")
        was_open, told = self.execution.open, known is not None and known.ended
        refused = self.attempt(machine.cancel, reason)
        assert (refused is None) == (was_open and self.execution.open and not told) or not self.execution.open

    @precondition(lambda self: not self.execution.open and not self.running)
    @rule(pick=st.integers(0, 100), named=st.booleans())
    def somebody_redrives_it(self, pick, named):
        """What is done again may change once more; what is kept stays as it is."""
        start = one_of(self.execution.operations, pick).id if named else None
        refused = self.attempt(machine.redrive, start)
        if refused is not None:
            return
        assert self.execution.open
        details = next(event for event in reversed(self.events) if event.type == "ExecutionRedriven").details
        for name in ("e1", "the execution", *details["Cleared"], *details["Reopened"]):
            self.ended.pop(name, None)
        self.closings = 0
        self.last = None

    @something_happened_since("somebody_forks_it")
    @rule(pick=picks, named=st.booleans(), replaced=st.booleans())
    def somebody_forks_it(self, pick, named, replaced):
        """The fork is as whole as any execution, and this one is as it was."""
        self.latest["somebody_forks_it"] = len(self.events)
        before = snapshot(self.execution)
        chosen = one_of(self.execution.operations, pick).id
        new = NewExecution(
            "e2",
            f"{FUNCTION}:orders:1/durable-execution/n/e2",
            "n",
            "orders",
            f"{FUNCTION}:orders:1",
            "1",
            "{}",
            TIMEOUT,
        )
        source = machine.Source.of(self.execution.arn, {**self.execution.by_id}, [*self.events])
        results = {chosen: '"replaced"'} if replaced else {}
        try:
            fork = machine.fork(source, new, chosen if named else None, results, self.at)
        except InvalidParameterValueError:
            assert named or replaced  # the execution's own operation, a wait, or what a redrive cleared
        else:
            check_fork(fork, self.at)
        assert snapshot(self.execution) == before

    @something_happened_since("the_service_restarts")
    @rule(killed=st.booleans(), alone=st.booleans())
    def the_service_restarts(self, killed, alone):
        """
        :param killed: it could not end its invocations itself
        :param alone: no other execution can have ended it
        """
        self.latest["the_service_restarts"] = len(self.events)
        if self.running and not killed:
            machine.invocation_interrupted(self.execution, self.running, self.at)
            self.absorb()
        self.execution = restored(self.execution)
        self.absorb()
        if self.execution.open:
            left = self.execution.invocation
            machine.continued(self.execution, None if left is None else left.request_id, self.at, alone=alone)
            self.absorb()
        elif self.running:  # nobody is going to hear how it ends
            self.execution.invocation = None
            self.begun.append(LATE)
        self.last = None

    # --- what stays true ---

    @invariant()
    def what_ended_stays_as_it_ended(self):
        execution = self.execution
        states = {operation.id: (operation.ended, operation.in_seconds()) for operation in execution.operations}
        states["the execution"] = (not execution.open, (execution.status, execution.result, execution.error))
        for name, (ended, state) in states.items():
            assert self.ended.get(name, repr(state)) == repr(state)
            if ended:
                self.ended[name] = repr(state)
        assert self.closings == (not execution.open)

    @invariant()
    def events_are_numbered_without_gaps(self):
        assert [event.id for event in self.events] == list(range(1, len(self.events) + 1))
        assert self.execution.event_count == len(self.events)

    @invariant()
    def times_grow_from_event_to_event_and_are_those_of_the_operations(self):
        times = [event.at_us for event in self.events]
        assert all(earlier < later for earlier, later in pairwise(times))
        assert self.execution.latest_us == times[-1]
        assert {operation.start_us for operation in self.execution.operations} <= {*times}
        ends = [operation.end_us for operation in self.execution.operations if operation.ended]
        assert {*ends} <= {*times}
        assert len({*ends}) == len(ends)

    @invariant()
    def the_history_tells_the_state(self):
        derived, execution = derive(self.events), self.execution
        status = "RUNNING" if execution.status == "PAUSING" else execution.status
        assert (derived.status, derived.input, derived.result, derived.error, derived.started_ms, derived.ended_ms) == (
            (status, execution.input, execution.result, execution.error, execution.started_ms, execution.ended_ms)
        )
        for told, operation in zip(derived.operations, execution.operations, strict=True):
            expected = fields(operation)
            if operation.status == "READY":  # since when, only its last attempt tells
                assert told.due_ms <= self.now_ms
                expected["due_ms"] = told.due_ms
            assert fields(told) == expected

    @invariant()
    def one_invocation_at_a_time(self):
        completed = sum(event.type == "InvocationCompleted" for event in self.events)
        given_up = self.begun.count(LATE)
        assert len(self.begun) - 2 * given_up - completed == (self.running is not None)

    @invariant()
    def a_store_that_kept_it_gives_it_back(self):
        execution, again = self.execution, restored(self.execution)
        assert again.by_id.keys() == execution.by_id.keys()
        assert again.unseen.keys() == execution.unseen.keys()
        assert again.asked.keys() == execution.asked.keys()
        if not execution.open:
            assert execution.timers == []
            return
        assert again.awaited == execution.awaited
        assert {each.id for each in again.held} == {each.id for each in execution.held if each.held is not None}
        timers = {sequence: due for due, sequence in execution.timers}
        assert len(timers) == len(execution.timers)
        for due, sequence in again.timers:
            assert timers.pop(sequence) <= due
        assert all(execution.operations[sequence].timer_ms is None for sequence in timers)

    @invariant()
    def somebody_will_wake_it(self):
        """Nothing has to happen that nobody sees to."""
        check_awake(self.execution)
        if self.execution.status == "PAUSED":
            resumed = restored(self.execution)
            machine.resume(resumed, None, self.at)
            check_awake(resumed)

    def teardown(self):
        """Left to itself, with a handler that has nothing more to do, every execution closes."""
        if not hasattr(self, "execution"):
            return
        for _ in range(200):
            if not self.execution.open:
                break
            if self.execution.status == "PAUSED":
                self.attempt(machine.resume, None)
            elif self.running:
                machine.invocation_event(self.execution, self.running, Limits(), whole=True)
                machine.invocation_answered(self.execution, self.running, {"Status": "PENDING"}, self.at)
                self.absorb()
            else:
                self.now_ms = max(self.now_ms, self.execution.next_due_ms())
                self.do_what_is_due()
        assert not self.execution.open
        assert list(read_history([event_json(event, include_data=True) for event in self.events]).events) == self.events


def check_fork(fork: Execution, at: Moment) -> None:
    events = fork.changes.events
    assert [event.id for event in events] == list(range(1, fork.event_count + 1))
    assert all(earlier.at_us < later.at_us for earlier, later in pairwise(events))
    assert fork.latest_us == events[-1].at_us
    told = derive(events).operations
    assert [fields(operation) for operation in told] == [fields(operation) for operation in fork.operations]
    assert all(operation.type in FORKED_OPEN or operation.ended for operation in fork.operations)
    check_awake(fork)
    assert snapshot(restored(restored(fork))) == snapshot(restored(fork))
    assert fork.invocation is not None
    shown = machine.invocation_event(fork, fork.invocation.request_id, Limits(), whole=True)
    assert shown is not None
    machine.invocation_answered(fork, fork.invocation.request_id, {"Status": "FAILED", "Error": {}}, at)
    assert fork.status == "FAILED"


def one_of(choices: Sequence[T], pick: int) -> T:
    return choices[pick % len(choices)]


def check_awake(execution: Execution) -> None:
    for operation in execution.operations:
        if execution.open and operation.awaited and operation.type in (OperationType.STEP, OperationType.WAIT):
            assert operation.timer_ms is not None
        if execution.open and operation.awaited and operation.type is OperationType.CHAINED_INVOKE:
            assert operation.id in execution.asked
            assert operation.held is None or (execution.invocation is not None and operation.timer_ms is not None)
    if execution.status == "RUNNING" and execution.invocation is None:
        assert not execution.wanted
        assert execution.awaited or execution.invoke_at_ms is not None


def snapshot(execution: Execution) -> str:
    """Everything that a refused command must leave as it is."""
    return repr(execution)


def fields(operation: OperationRecord) -> dict[str, Any]:
    """What a history holds of an operation."""
    told = attrs.asdict(operation, recurse=False)
    for untold in ("replay_children", "request", "held", "heartbeat_due_ms"):
        del told[untold]
    if operation.status == "READY":
        told["status"] = "PENDING"
    if operation.type is OperationType.CHAINED_INVOKE:
        told["due_ms"] = None  # how long its outcome is held
    return told


def restored(execution: Execution) -> Execution:
    """The execution as a store gives it back."""
    indexes = {"operations", "by_id", "timers", "unseen", "held", "asked", "awaited", "changes"}
    kept = {each.name: getattr(execution, each.name) for each in attrs.fields(Execution) if each.name not in indexes}
    if execution.invocation is not None:
        kept["invocation"] = attrs.evolve(execution.invocation, answered=None)
    again = Execution(**kept)
    again.restore(map(copy.copy, execution.operations), [each.sequence for each in execution.unseen.values()])
    return again


Executions.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=50, deadline=None)
TestExecutions = Executions.TestCase
