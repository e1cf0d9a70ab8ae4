"""A callback and the step that sends its id, recorded as one operation.

The record of this operation keeps the answer's text as it was sent, and of a failure both its kind and the type that
was sent: ``durable_async.errors.CallbackFailedError: Rejected``. So a replay needs neither the callback nor the step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import attrs

from durable_async._engine.call import Call
from durable_async._engine.tasks import Coro
from durable_async._operations.callback import answer_of, callback_id_of, read_answer, settled
from durable_async._operations.child import in_context
from durable_async._operations.step import run_step
from durable_async._operations.values import serializer_context
from durable_async._raised import type_name
from durable_async._wire.limits import NAME_LENGTH
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    ContextDetails,
    ErrorObject,
    OperationStatus,
    OperationType,
    SubType,
    UpdateDetails,
)
from durable_async.config import StepConfig
from durable_async.errors import (
    CallbackError,
    CallbackFailedError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    StepError,
)
from durable_async.operation_config import WaitForCallbackConfig
from durable_async.serializers import SerializerContext

_KINDS = {type_name(kind): kind for kind in (CallbackFailedError, CallbackTimeoutError, CallbackSubmitterError)}


class NewCall(Protocol):
    """Claims the next operation of the running code."""

    def __call__(self, kind: OperationType, subtype: SubType, name: str | None, /) -> Call: ...


async def run_wait_for_callback(
    call: Call,
    new_call: NewCall,
    submitter: Callable[[str], object],
    config: WaitForCallbackConfig,
    described: SerializerContext,
    *,
    step_config: StepConfig,
) -> Any:
    """Return the answer.

    :param step_config: how the submitter is attempted, where ``config`` does not say it
    :raises CallbackError: no answer came, or it was a failure; the error is built from the record, on the first run too
    """
    record = await call.read()
    if record is None:
        call.post(Action.START)
    elif record["Status"] in TERMINAL:
        details: ContextDetails = record.get("ContextDetails") or {}
        if record["Status"] != OperationStatus.SUCCEEDED:
            raise _failure(call, details.get("Error") or {})
        return await read_answer(call, details.get("Result"), config.serializer, described)
    attempts = attrs.evolve(
        step_config, retry_strategy=config.retry_strategy or step_config.retry_strategy, serializer=_Nothing()
    )
    make_callback = partial(callback_id_of, config=config, described=described)
    try:
        text = await in_context(call, partial(_answer, call, new_call, submitter, attempts, make_callback))
    except CallbackError as error:
        kind = type_name(type(error))
        error.operation_id = None  # of the inner operation; the trace names this operation
        recorded = call.error_object(error, named=f"{kind}: {error.error_type}" if error.error_type else kind)
        await call.commit(Action.FAIL, Error=recorded)
        raise _failure(call, recorded) from None
    outcome: UpdateDetails = {"ContextOptions": {"ReplayChildren": False}}
    if text is not None:
        outcome["Payload"] = text
    await call.commit(Action.SUCCEED, **outcome)
    return await read_answer(call, text, config.serializer, described)


async def _answer(
    call: Call,
    new_call: NewCall,
    submitter: Callable[[str], object],
    attempts: StepConfig,
    make_callback: Callable[[Call], Coro[str]],
) -> str | None:
    callback = new_call(OperationType.CALLBACK, SubType.CALLBACK, _inner_name(call, "create callback id"))
    callback_id = await callback.perform(make_callback)
    step = new_call(OperationType.STEP, SubType.STEP, _inner_name(call, "submitter"))
    try:
        await step.perform(run_step, partial(submitter, callback_id), attempts, serializer_context(step))
    except StepError as error:
        raise CallbackSubmitterError(error.message, error.error_type, error.data, error.stack_trace) from None
    return answer_of(callback, await callback.again(callback.branch).perform(settled))


def _failure(call: Call, recorded: ErrorObject) -> CallbackError:
    error = recorded.copy()
    kind, _, brought = error.pop("ErrorType", "").partition(": ")
    if brought:
        error["ErrorType"] = brought
    return call.failure(_KINDS.get(kind, CallbackFailedError), error)


def _inner_name(call: Call, what: str) -> str:
    return f"{call.name[: NAME_LENGTH - len(what) - 1]} {what}" if call.name else what


class _Nothing:
    """Ignores what the submitter returns: nobody uses it, and it may be anything."""

    def serialize(self, value: object, context: SerializerContext) -> str:
        del value, context
        return "null"

    def deserialize(self, text: str, context: SerializerContext) -> None:
        del text, context
