"""A callback: an id that the outside world sends an answer to.

Making it and waiting for the answer are two things, and what the workflow does in between must come out alike on a
replay, when the answer may be on record already. So making one never fails for how it ended, and the workflow comes by
that end only where it asks for it.
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
        """Wait for the answer. May be awaited any number of times, in the context that made the callback
        and whatever tasks and contexts are in it.

        :raises CallbackFailedError: the answer was a failure
        :raises CallbackTimeoutError: it did not come in time, or a heartbeat did not
        :raises SerializationError: it cannot be read as the type asked for
        """
        value: T_co = await _asked_here(self._call).perform(_result, self._serializer, self._described)
        return value


async def _result(call: Call, serializer: Serializer | None, described: SerializerContext) -> Any:
    return await read_answer(call, answer_of(call, await settled(call)), serializer, described)


async def create_callback(call: Call, config: CallbackConfig, described: SerializerContext) -> Callback[Any]:
    return Callback(await callback_id_of(call, config, described), call, config.serializer, described)


async def callback_id_of(call: Call, config: CallbackConfig, described: SerializerContext) -> str:
    """Make the callback, unless it is on record. The service gives out its id.

    :param described: how the answer will be read
    """
    record = await call.look(start=True)
    if record is None:
        record = await call.commit(Action.START, CallbackOptions=_options(call, config, described))
    call.happened(start_microseconds(record) or 0)
    callback_id = _details(record).get("CallbackId")
    if callback_id is None:
        raise ServiceCallError("checkpoint", f"the service has {call} on record without a callback id")
    return callback_id


async def settled(call: Call) -> Operation:
    """The callback when it has ended, however it did."""
    while (record := await call.look()) is None or record["Status"] not in TERMINAL:
        await call.park(record)
    return record


def answer_of(call: Call, record: Operation) -> str | None:
    """The text that was sent to a callback that has ended, None if there is none.

    :raises CallbackError: the answer was a failure, or did not come
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
    """What the text says. Who answers may know nothing of JSON, so it is only read as such on demand."""
    if text is None or (serializer is None and described.type is NO_TYPE):
        return text
    try:
        return await recorded(call, serializer or FOREIGN_JSON, text, described)
    except SerializationError as error:
        raise SerializationError(
            f"the answer to {call}",
            f"{error.reason}. It is on record, and no other answer is taken: to ask once more, catch this error and "
            "make another callback",
        ) from None


def _asked_here(call: Call) -> Call:
    """The call as of the running code, which may be another branch than the one that made the callback."""
    if call.invocation.decided():
        return call
    if call.branch.scope.is_closed():
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
    if "AnswerSchema" in call.invocation.extensions and config.serializer is None and described.type is not NO_TYPE:
        from durable_async.serializers._json.schema import schema_of

        schema = json.dumps(schema_of(described.type), separators=(",", ":"))
        if len(schema) <= SCHEMA_CHARACTERS:
            options["AnswerSchema"] = schema
    return options


def _details(record: Operation) -> CallbackDetails:
    return record.get("CallbackDetails") or {}
