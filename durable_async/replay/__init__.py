"""Run today's code against a recorded history, without side effects.

    report = await replay(fulfil, json.loads(Path("order-1017.json").read_text()))
    assert report.passed, report

Recorded operations are answered from the record, and the code stops where the record ends. No body of a step or
condition runs, nothing is written, no function is invoked and no plugin is called. The workflow's own code runs, and so
do serializers: a serializer that keeps payloads elsewhere reads them there, and may store one again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, assert_never

import attrs

from durable_async._engine.error_objects import error_object
from durable_async._engine.invocation import Invocation
from durable_async._engine.phases import Broken, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._lazy import names_from
from durable_async._wire.envelope import MICROSECONDS, Envelope
from durable_async._wire.operations import (
    CheckpointResult,
    ExecutionState,
    OperationStatus,
    OperationType,
    OperationUpdate,
)
from durable_async.errors import HistoryError, NonDeterminismError
from durable_async.handler import AnyHandler
from durable_async.replay.report import (
    Continues,
    Diverges,
    EndsDifferently,
    Finding,
    NextAction,
    NextOperation,
    PlacedOperation,
    ReplayReport,
    Replays,
    Skips,
)
from durable_async.replay.route import Route
from durable_async.service.machine import ExecutionStatus
from durable_async.service.machine.derive import derive
from durable_async.service.model.exported import read_history
from durable_async.service.runtime.views import Closed

if TYPE_CHECKING:
    from durable_async.replay.open_executions import BrokenExecution, OpenReplayReport, ReplayableService, replay_open

__all__ = [
    "BrokenExecution",
    "Closed",
    "Continues",
    "Diverges",
    "EndsDifferently",
    "Finding",
    "NextAction",
    "NextOperation",
    "OpenReplayReport",
    "PlacedOperation",
    "ReplayReport",
    "ReplayableService",
    "Replays",
    "Skips",
    "replay",
    "replay_open",
]

# This module imports the present one.
_LATER = dict.fromkeys(("BrokenExecution", "OpenReplayReport", "ReplayableService", "replay_open"), "open_executions")

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)

_NOT_THE_WORKFLOWS = (str(Path(__file__).parents[1]), str(Path(asyncio.__file__).parent))


async def replay(
    handler: AnyHandler, history: object, *, execution_arn: str | None = None, lambda_context: object = None
) -> ReplayReport:
    """Check that ``handler`` still does what the history says.

    :param history: a list of :class:`~durable_async.embedded.HistoryEvent`; or the answer of
        ``GetDurableExecutionHistory`` with ``IncludeExecutionData``, as JSON values: one answer, a list of answers, or
        a list of events. The output of ``aws lambda get-durable-execution-history`` works
        too. The execution may still be open
    :param execution_arn: ``ctx.uuid`` and ``ctx.random`` derive from it, and a history does not contain it
    :param lambda_context: what the workflow gets as ``ctx.lambda_context``
    :raises HistoryError: ``history`` is not a history, is incomplete, has no data, or is of another execution
    :raises StorageUnavailableError: a payload is kept elsewhere, and cannot be read there
    """
    exported = read_history(history)
    execution = derive(exported.events)
    live = [each for each in execution.operations if each.status is not OperationStatus.CLEARED]
    execution = attrs.evolve(execution, operations=live)
    arn = execution_arn or exported.execution_arn
    if arn is not None and "/durable-execution/" in arn and not arn.endswith(f"/{execution.id}"):
        raise HistoryError(f"the history is of execution {execution.id}, not of {arn}")
    route, service = Route(execution), _Silent()
    operations = [operation.in_milliseconds() for operation in execution.operations]
    envelope = Envelope(arn or f"{execution.name}/{execution.id}", "replay", operations, None, [], [MICROSECONDS])
    latest = execution.latest_us / 1_000_000
    async with Invocation(envelope, service, clock=lambda: latest, lambda_context=lambda_context) as invocation:
        invocation.journal.observer = route
        outcome = await handler.outcome(invocation)
    finding = _finding(route, outcome, service.result)
    return ReplayReport(
        finding=finding,
        execution_arn=arn,
        recorded=len(execution.operations) - 1,
        reached=len(route.reached_ids),
        next_operations=route.next_operations(),
        skipped=() if isinstance(finding, Diverges) else route.skipped(),  # from there on nothing was called
        reached_ids=frozenset(route.reached_ids),
    )


def _finding(route: Route, outcome: Outcome, large_result: str | None) -> Finding:
    execution = route.execution
    now: Closed | None
    match outcome:
        case Failed(NonDeterminismError() as error):
            within = route.within(error.operation_id)
            return Diverges(error.operation_id, error.recorded, error.requested, within, _where(error))
        case Failed(error):
            now = Closed(ExecutionStatus.FAILED, error=error_object(error, of="the execution"))
        case Returned(text):
            now = Closed(ExecutionStatus.SUCCEEDED, text if large_result is None else large_result)
        case Suspended() | Superseded():
            now = None
        case Broken(error) | Exited(error):
            raise error
        case _:
            assert_never(outcome)
    ended = Closed(execution.status, execution.result, execution.error) if execution.answered else None
    if ended is not None and (now is None or not _same(ended, now)):
        return EndsDifferently(ended, now)
    if route.skipped():
        return Skips(now if ended is None else None)
    return Replays() if ended is not None else Continues(now, route.waits_for())


def _same(recorded: Closed, now: Closed) -> bool:
    """Compare two ends, without stack traces and without the spacing of JSON."""
    before, after = recorded.error or {}, now.error or {}
    return (
        recorded.status == now.status
        and _value(recorded.result) == _value(now.result)
        and all(before.get(member) == after.get(member) for member in ("ErrorType", "ErrorMessage", "ErrorData"))
    )


def _value(text: str | None) -> str | None:
    try:
        return json.dumps(json.loads(text or "null"), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _where(error: BaseException) -> str | None:
    """Return the innermost line of the traceback that is outside this package and asyncio."""
    lines = [
        f"{Path(frame.f_code.co_filename).name}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_NOT_THE_WORKFLOWS)
    ]
    return lines[-1] if lines else None


class _Silent:
    """A service that accepts checkpoints and changes nothing. It gets STARTs that nothing awaits, and results too large
    for the answer."""

    result: str | None = None

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        del execution_arn, client_token
        for update in updates:
            if update["Type"] == OperationType.EXECUTION:
                self.result = update.get("Payload")
        return {"CheckpointToken": token, "NewExecutionState": {"Operations": []}}

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        raise AssertionError(f"the record of {execution_arn} has one page, and {marker} was asked for with {token}")
