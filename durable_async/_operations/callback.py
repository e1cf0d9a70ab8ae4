"""A callback: an id that the outside world sends an answer to.

A workflow makes a callback and later waits for its answer. What it does in between must be the same on a replay, when
the answer may be on record already. So making a callback does not fail because of how it ended: the workflow gets the
end only where it asks for it.
"""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import attrs

from durable_async._engine.call import Call
from durable_async._engine.calling import calling_branch
from durable_async._operations.values import recorded
from durable_async._wire.limits import SCHEMA_CHARACTERS
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    CallbackDetails,
    CallbackOptions,
    Operation,
    OperationStatus,
)
from durable_async._wire.timestamps import start_microseconds
from durable_async.errors import (
    CallbackFailedError,
    CallbackTimeoutError,
    ContextMisuseError,
    SerializationError,
    ServiceCallError,
)
from durable_async.operation_config import CallbackConfig
from durable_async.serializers import NO_TYPE, Serializer, SerializerContext
from durable_async.serializers._json.serializer import FOREIGN_JSON

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen(eq=False)
class Callback(Generic[T_co]):
    """What ``ctx.create_callback`` returns.

    :ivar callback_id: what to answer to, with the service's ``SendDurableExecutionCallbackSuccess`` or ``...Failure``
    """

    callback_id: str
    _call: Call = attrs.field(repr=False)
    _serializer: Serializer | None = attrs.field(repr=False)
    _described: SerializerContext = attrs.field(repr=False)

    async def result(self) -> T_co:
        """Wait for the answer and return it. This may be awaited any number of times, in the context that made the
        callback and in the tasks and contexts inside it.

        :raises CallbackFailedError: the answer was a failure
        :raises CallbackTimeoutError: the answer or a heartbeat did not come in time
        :raises SerializationError: it cannot be read as the type asked for
        """
        value: T_co = await _asked_here(self._call).perform(_result, self._serializer, self._described)
        return value


async def _result(call: Call, serializer: Serializer | None, described: SerializerContext) -> Any:
    return await read_answer(call, answer_of(call, await settled(call)), serializer, described)


async def create_callback(call: Call, config: CallbackConfig, described: SerializerContext) -> Callback[object]:
    """Return a callback that is on record."""
    return Callback(await callback_id_of(call, config, described), call, config.serializer, described)


async def callback_id_of(call: Call, config: CallbackConfig, described: SerializerContext) -> str:
    """Make the callback, unless it is on record, and return its id. The service chooses the id.

    :param described: how the answer will be read
    """
    record = await call.read(start=True)
    if record is None:
        record = await call.commit(Action.START, CallbackOptions=_options(call, config, described))
    call.happened(start_microseconds(record) or 0)
    callback_id = _details(record).get("CallbackId")
    if callback_id is None:
        await call.journal.fail(
            ServiceCallError("checkpoint", f"the service has {call} on record without a callback id")
        )
    return callback_id


async def settled(call: Call) -> Operation:
    """Return the callback when it has ended, whatever the answer is."""
    while (record := await call.read()) is None or record["Status"] not in TERMINAL:
        await call.wait(record)
    return record


def answer_of(call: Call, record: Operation) -> str | None:
    """Return the text that was sent to a callback that has ended; None: there is no text.

    :raises CallbackError: the answer was a failure, or did not come in time
    """
    details = _details(record)
    error = details.get("Error") or {}
    match record["Status"]:
        case OperationStatus.SUCCEEDED:
            return details.get("Result")
        case OperationStatus.TIMED_OUT:
            raise call.failure(CallbackTimeoutError, {"ErrorMessage": "the callback timed out", **error})
        case _:
            raise call.failure(CallbackFailedError, {"ErrorMessage": "the callback failed", **error})


async def read_answer(call: Call, text: str | None, serializer: Serializer | None, described: SerializerContext) -> Any:
    """Return the value of an answer. The sender may not know JSON, so the text is read as JSON only if the workflow
    asks for that."""
    if text is None or (serializer is None and described.type is NO_TYPE):
        return text
    try:
        return await recorded(call, serializer or FOREIGN_JSON, text, described)
    except SerializationError as error:
        raise SerializationError(
            f"the answer to {call}",
            f"{error.reason}. It is on record, and no other answer is accepted: to ask again, catch this error and "
            "make another callback",
        ) from None


def _asked_here(call: Call) -> Call:
    """Return the call for the running code, which may be in another branch than the code that made the callback."""
    if call.journal.refuses:
        return call
    if call.scope.is_closed():
        raise ContextMisuseError(
            f"the result of {call} was asked for after the context had ended in which it was made. A replay does not "
            "enter that context again: return the result from it, or make the callback outside"
        )
    return call.again(calling_branch(call.branch.workflow))


def _options(call: Call, config: CallbackConfig, described: SerializerContext) -> CallbackOptions:
    options = CallbackOptions()
    if (timeout := config.timeout_seconds) is not None:
        options["TimeoutSeconds"] = timeout
    if (heartbeat_timeout := config.heartbeat_timeout_seconds) is not None:
        options["HeartbeatTimeoutSeconds"] = heartbeat_timeout
    if "AnswerSchema" in call.journal.extensions and config.serializer is None and described.type is not NO_TYPE:
        from durable_async.serializers._json.schema import schema_of

        schema = json.dumps(schema_of(described.type), separators=(",", ":"))
        if len(schema) <= SCHEMA_CHARACTERS:
            options["AnswerSchema"] = schema
    return options


def _details(record: Operation) -> CallbackDetails:
    return record.get("CallbackDetails") or {}
