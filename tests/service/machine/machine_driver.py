"""Drives one execution's machine as the shell would, with time and ids that the test decides."""

from __future__ import annotations

from itertools import count
from typing import Any

import attrs

from durable_async.service import machine
from durable_async.service.machine import (
    ChainedOutcome,
    Checkpoint,
    Execution,
    InvocationRetryPolicy,
    Limits,
    Moment,
    NewExecution,
    Target,
)
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.model.history import HistoryEvent

START_MS = 1_700_000_000_000
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function"


class Targets:
    """``echo`` is plain, ``flow:$LATEST`` durable; others are missing, malformed or foreign."""

    def find(self, reference):
        match reference:
            case "echo":
                return Target(f"{FUNCTION}:echo:$LATEST", "echo", "$LATEST", durable=False)
            case "flow:$LATEST":
                return Target(f"{FUNCTION}:flow:$LATEST", "flow", "$LATEST", durable=True)
            case "bad name":
                raise InvalidParameterValueError("Invalid function ARN 'bad name'")
            case _:
                return {"ErrorType": "ResourceNotFoundException", "ErrorMessage": f"no {reference}"}


@attrs.frozen
class Invoked:
    request_id: str
    event: dict[str, Any]


@attrs.define(init=False)
class Driver:
    execution: Execution
    now_ms: int
    events: list[HistoryEvent]
    invocations: list[Invoked]  # all there were
    chained: list[machine.StartChained]
    closings: int
    quarantines: int
    token: str | None
    limits: Limits
    retries: InvocationRetryPolicy
    _ids: Any

    def __init__(
        self,
        *,
        limits=Limits(),
        retries=InvocationRetryPolicy(),
        timeout=86_400,
        parent=None,
        payload="{}",
        cancel_before=None,
    ):
        self.now_ms = START_MS
        self.events, self.invocations, self.chained, self.closings, self.token = [], [], [], 0, None
        self.quarantines = 0
        self.limits, self.retries, self._ids = limits, retries, count(1)
        arn = f"{FUNCTION}:orders:$LATEST/durable-execution/order-1/e1"
        function = f"{FUNCTION}:orders:$LATEST"
        new = NewExecution(
            "e1",
            arn,
            "order-1",
            "orders",
            function,
            "$LATEST",
            payload,
            timeout,
            parent=parent,
            cancel_before_seconds=cancel_before,
        )
        self.execution = machine.start(new, self.at)
        self._absorb()

    @property
    def at(self) -> Moment:
        return Moment(self.now_ms * 1000, lambda: f"m{next(self._ids)}", self.limits, self.retries)

    def _absorb(self) -> machine.Changes:
        changes = self.execution.take_changes()
        self.events += changes.events
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler():
                    event = machine.invocation_event(self.execution, effect.request_id, self.limits, whole=True)
                    assert event is not None
                    self.invocations.append(Invoked(effect.request_id, event))
                    self.token = event["CheckpointToken"]
                case machine.Quarantined():
                    self.quarantines += 1
                case machine.StartChained():
                    self.chained.append(effect)
                case machine.ExecutionClosed():
                    self.closings += 1
        return changes

    # --- the handler ---

    def checkpoint(self, *updates, token=None, client_token=None):
        call = Checkpoint(token or self.token, updates, client_token)
        try:
            result = machine.checkpoint(self.execution, call, Targets(), self.at)
        finally:
            self._absorb()
        self.token = result.get("CheckpointToken")
        return result

    def write(self, *updates) -> dict[str, dict]:
        """Checkpoint, and what the answer showed, by operation id."""
        return {o["Id"]: o for o in self.checkpoint(*updates)["NewExecutionState"]["Operations"]}

    def answer(self, output) -> None:
        machine.invocation_answered(self.execution, self.invocations[-1].request_id, output, self.at)
        self._absorb()

    def suspend(self) -> None:
        self.answer({"Status": "PENDING"})

    def succeed(self, result='"done"') -> None:
        self.answer({"Status": "SUCCEEDED", "Result": result})

    def fail(self, kind="ValueError") -> None:
        self.answer({"Status": "FAILED", "Error": {"ErrorType": kind}})

    def crash(self, kind="Runtime.ExitError") -> None:
        error = {"ErrorType": kind, "ErrorMessage": "gone"}
        machine.invocation_failed(self.execution, self.invocations[-1].request_id, error, self.at)
        self._absorb()

    # --- the world ---

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        machine.fire_due(self.execution, self.at)
        self._absorb()

    def callback_id(self, operation_id: str) -> str:
        return self.execution.by_id[operation_id].callback_id

    def do(self, command, *arguments, **options) -> None:
        """Run a command that takes the execution first and the moment last."""
        try:
            command(self.execution, *arguments, self.at, **options)
        finally:
            self._absorb()

    def callback_succeeds(self, operation_id: str, result: bytes = b'"yes"') -> None:
        self.do(machine.callback_succeeded, self.callback_id(operation_id), result)

    def callback_fails(self, operation_id: str, error=None) -> None:
        self.do(machine.callback_failed, self.callback_id(operation_id), error or {})

    def heartbeat(self, operation_id: str) -> None:
        self.do(machine.callback_heartbeat, self.callback_id(operation_id))

    def chained_ends(self, operation_id: str, outcome=ChainedOutcome("SUCCEEDED", '"echo"')) -> None:
        self.do(machine.chained_invoke_ended, operation_id, outcome)

    # --- what is seen ---

    @property
    def status(self) -> str:
        return str(self.execution.status)

    def statuses(self) -> dict[str, str]:
        return {operation.id: str(operation.status) for operation in self.execution.operations[1:]}

    def snapshot(self) -> Any:
        """Everything that a refused batch must leave as it is."""
        execution = self.execution
        fields = attrs.asdict(execution, recurse=True)
        fields["operations"] = [attrs.asdict(operation) for operation in execution.operations]
        fields.pop("by_id")
        return repr(fields)


def update(operation_id: str, kind: str, action: str, **members) -> dict:
    return {"Id": operation_id, "Type": kind, "Action": action, **members}


def step(action: str, operation_id="s", delay: int | None = None, **members) -> dict:
    if delay is not None:
        members["StepOptions"] = {"NextAttemptDelaySeconds": delay}
    return update(operation_id, "STEP", action, **members)


def wait(seconds=2, operation_id="w", **members) -> dict:
    return update(operation_id, "WAIT", "START", WaitOptions={"WaitSeconds": seconds}, **members)


def callback(operation_id="c", timeout=0, heartbeat=0, **members) -> dict:
    options = {"TimeoutSeconds": timeout, "HeartbeatTimeoutSeconds": heartbeat}
    return update(operation_id, "CALLBACK", "START", CallbackOptions=options, **members)


def invoke(target="echo", operation_id="i", **members) -> dict:
    return update(operation_id, "CHAINED_INVOKE", "START", ChainedInvokeOptions={"FunctionName": target}, **members)


def context(action: str, operation_id="x", **members) -> dict:
    return update(operation_id, "CONTEXT", action, **members)
