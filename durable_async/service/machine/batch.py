"""Decides whether a batch of updates can be recorded. The batch is accepted or refused as a whole.

Nothing here changes the execution; ``checkpoint`` applies what is accepted. The messages and the order of the checks
are those of the official emulator: execution updates, then parents and repeated ids, then each update by itself. Like
the emulator, it accepts updates below a context that has ended. Source: protocol.md, "Batch rules".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn, Protocol

import attrs

from durable_async._wire.limits import TENANT_PATTERN
from durable_async._wire.operations import Action, ErrorObject, OperationStatus, OperationType, OperationUpdate
from durable_async._wire.text import utf8_size
from durable_async.service.machine.effects import Target
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.limits import Limits, check_error_size
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.errors import InvalidParameterValueError

_TENANT = re.compile(TENANT_PATTERN)

Id = str
Status = OperationStatus


class Targets(Protocol):
    """Finds the functions that chained invokes name."""

    def find(self, reference: str) -> Target | ErrorObject:
        """Return the function that ``reference`` names, or the error with which invoking it fails.

        :raises InvalidParameterValueError: the reference is malformed, or of another account or region
        """
        ...


@attrs.frozen
class _Rule:
    """The statuses in which an action is possible; None stands for an operation that does not exist yet."""

    allowed: frozenset[Status | None]
    refusal: str


def _close(kind: str) -> str:
    return f"Invalid current {kind} state to close."


_FRESH: frozenset[Status | None] = frozenset({None})
_STEP_RUNS: frozenset[Status | None] = frozenset({None, Status.STARTED, Status.READY})
_CONTEXT_RUNS: frozenset[Status | None] = frozenset({None, Status.STARTED})

RULES: dict[tuple[str, str], _Rule] = {
    (OperationType.EXECUTION, Action.SUCCEED): _Rule(_FRESH, ""),
    (OperationType.EXECUTION, Action.FAIL): _Rule(_FRESH, ""),
    (OperationType.CONTEXT, Action.START): _Rule(_FRESH, "Cannot start a CONTEXT that already exist."),
    (OperationType.CONTEXT, Action.SUCCEED): _Rule(_CONTEXT_RUNS, _close("CONTEXT")),
    (OperationType.CONTEXT, Action.FAIL): _Rule(_CONTEXT_RUNS, _close("CONTEXT")),
    (OperationType.STEP, Action.START): _Rule(frozenset({None, Status.READY}), "Invalid current STEP state to start."),
    (OperationType.STEP, Action.SUCCEED): _Rule(_STEP_RUNS, _close("STEP")),
    (OperationType.STEP, Action.FAIL): _Rule(_STEP_RUNS, _close("STEP")),
    (OperationType.STEP, Action.RETRY): _Rule(_STEP_RUNS, "Invalid current STEP state to re-attempt."),
    (OperationType.WAIT, Action.START): _Rule(_FRESH, "Cannot start a WAIT that already exist."),
    (OperationType.WAIT, Action.CANCEL): _Rule(
        frozenset({Status.STARTED}), "Cannot cancel a WAIT that does not exist or has already completed."
    ),
    (OperationType.CALLBACK, Action.START): _Rule(_FRESH, "Cannot start a CALLBACK that already exist."),
    (OperationType.CHAINED_INVOKE, Action.START): _Rule(
        _FRESH, "Cannot start a CHAINED_INVOKE operation that already exists."
    ),
}


class _Started(NamedTuple):
    """What is known of an operation that an earlier update of the batch started. The record says the same of others."""

    type: str
    status: Status
    sub_type: str | None
    name: str | None
    parent_id: str | None


_Known = OperationRecord | _Started


def check_batch(
    execution: Execution, updates: Sequence[OperationUpdate], targets: Targets, limits: Limits
) -> dict[Id, Target | ErrorObject]:
    """Refuse the batch if any rule is broken.

    :return: the targets of the batch's chained invokes, by operation id
    :raises InvalidParameterValueError: with the message of the first rule broken
    """
    _check_execution_updates(updates)
    _check_parents_and_repetitions(execution, updates)
    started: dict[Id, _Started] = {}
    found: dict[Id, Target | ErrorObject] = {}
    for update in updates:
        operation_id, kind = update["Id"], update["Type"]
        known: _Known | None = None
        if kind != OperationType.EXECUTION:  # the service finds it by its type; the update may have any id
            known = started.get(operation_id) or execution.by_id.get(operation_id)
        if known is not None:
            _check_against(known, update)
        _check_transition(known.status if known else None, update)
        _check_contents(execution, update, limits)
        if update["Action"] == Action.START:
            started[operation_id] = _Started(
                kind, Status.STARTED, update.get("SubType"), update.get("Name"), update.get("ParentId")
            )
            if kind == OperationType.CHAINED_INVOKE:
                found[operation_id] = _check_chained(update, targets, limits)
    return found


def _refuse(message: str) -> NoReturn:
    raise InvalidParameterValueError(message)


def _check_execution_updates(updates: Sequence[OperationUpdate]) -> None:
    kinds = [update["Type"] for update in updates]
    count = kinds.count(OperationType.EXECUTION)
    if count > 1:
        _refuse("Cannot checkpoint multiple EXECUTION updates.")
    if count and kinds[-1] != OperationType.EXECUTION:
        _refuse("EXECUTION checkpoint must be the last update.")


def _check_parents_and_repetitions(execution: Execution, updates: Sequence[OperationUpdate]) -> None:
    contexts: set[Id] = set()
    earlier: dict[Id, OperationUpdate | None] = {}  # None: no further update of this id is possible
    for update in updates:
        if update["Type"] == OperationType.EXECUTION:
            continue
        operation_id, parent_id = update["Id"], update.get("ParentId")
        if parent_id is not None and parent_id not in contexts:
            parent = execution.by_id.get(parent_id)
            if parent is None or parent.type is not OperationType.CONTEXT:
                _refuse("Invalid parent operation id.")
        if operation_id not in earlier:
            earlier[operation_id] = update
        elif _completes(earlier[operation_id], update):
            earlier[operation_id] = None
        else:
            _refuse("Cannot checkpoint multiple operations with the same ID.")
        if update["Type"] == OperationType.CONTEXT and update["Action"] == Action.START:
            contexts.add(operation_id)


def _completes(earlier: OperationUpdate | None, update: OperationUpdate) -> bool:
    """Return whether ``update`` ends the operation that ``earlier``, from the same batch, started."""
    return (
        earlier is not None
        and earlier["Type"] in (OperationType.STEP, OperationType.CONTEXT)
        and earlier["Action"] == Action.START
        and update["Action"] != Action.START
    )


def _check_against(known: _Known, update: OperationUpdate) -> None:
    """Refuse an update whose type, subtype, name or parent differs from the operation's."""
    if known.type != update["Type"]:
        _refuse("Inconsistent operation type.")
    if update.get("SubType") not in (None, known.sub_type):
        _refuse("Inconsistent operation subtype.")
    if update.get("Name") not in (None, known.name):
        _refuse("Inconsistent operation name.")
    if update.get("ParentId") not in (None, known.parent_id):
        _refuse("Inconsistent parent operation id.")


def _check_transition(status: Status | None, update: OperationUpdate) -> None:
    rule = RULES.get((update["Type"], update["Action"]))
    if rule is None:
        _refuse("Invalid action for the given operation type.")
    if status not in rule.allowed:
        _refuse(rule.refusal)


def _check_contents(execution: Execution, update: OperationUpdate, limits: Limits) -> None:
    payload, error = update.get("Payload"), update.get("Error")
    match update["Action"]:
        case Action.START:
            if update["Type"] == OperationType.WAIT and not (update.get("WaitOptions") or {}).get("WaitSeconds"):
                _refuse("Invalid WaitOptions for the given action.")
            payload = None  # the input of a chained invoke has a check of its own
        case Action.SUCCEED:
            if error is not None:
                _refuse("Cannot provide an Error for SUCCEED action.")
        case Action.FAIL:
            if payload is not None:
                _refuse("Cannot provide a Payload for FAIL action.")
        case Action.RETRY:
            _check_retry(update)
        case _:
            pass
    if error is not None:
        check_error_size(error, limits.error_bytes)
    if payload is not None:
        _check_output(execution, update["Type"], payload, limits)


def _check_retry(update: OperationUpdate) -> None:
    if update.get("Payload") is not None and update.get("Error") is not None:
        _refuse("Cannot provide both error and payload to RETRY a STEP.")
    if (update.get("StepOptions") or {}).get("NextAttemptDelaySeconds") is None:
        _refuse("Invalid StepOptions for the given action.")


def _check_output(execution: Execution, kind: str, payload: str, limits: Limits) -> None:
    if kind != OperationType.EXECUTION:
        limit, label = limits.payload_bytes, kind
    else:
        limit = limits.child_execution_bytes if execution.parent else limits.execution_bytes
        label = "Execution"
    if utf8_size(payload) > limit:
        _refuse(f"{label} output payload size must be less than or equal to {limit} bytes.")


def _check_chained(update: OperationUpdate, targets: Targets, limits: Limits) -> Target | ErrorObject:
    options = update.get("ChainedInvokeOptions")
    if not options or not options.get("FunctionName"):
        _refuse("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.")
    tenant_id = options.get("TenantId")
    if tenant_id is not None and _TENANT.fullmatch(tenant_id) is None:
        _refuse("TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ].")
    if utf8_size(update.get("Payload") or "") > limits.payload_bytes:
        _refuse(f"CHAINED_INVOKE input payload size must be less than or equal to {limits.payload_bytes} bytes.")
    return targets.find(options["FunctionName"])
