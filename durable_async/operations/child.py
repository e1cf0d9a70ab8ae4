"""A child context: a function with operations of its own, recorded as one when it has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from durable_async.config import ChildConfig
from durable_async.engine.branches import Scope, entered_scope
from durable_async.engine.call import Call
from durable_async.errors import ChildContextError, NonDeterminismError
from durable_async.serializers import SerializerContext, deserialize, serialize
from durable_async.wire.codec import utf8_size
from durable_async.wire.limits import CONTEXT_RESULT_BYTES
from durable_async.wire.operations import Action, ContextDetails, OperationStatus


async def run_child(
    call: Call, body: Callable[[], Awaitable[Any]], config: ChildConfig, described: SerializerContext
) -> Any:
    """:raises ChildContextError: the function raised; built from the record, on the first run too"""
    record = await call.look()
    details: ContextDetails = (record.get("ContextDetails") or {}) if record else {}
    match record["Status"] if record else None:
        case None:
            call.post(Action.START)
        case OperationStatus.STARTED:
            pass
        case OperationStatus.SUCCEEDED if details.get("ReplayChildren"):
            # The result was too large to record; the children are there to make it from.
            value = await in_context(call, body)
            return await deserialize(config.serializer, await serialize(config.serializer, value, described), described)
        case OperationStatus.SUCCEEDED:
            payload = details.get("Result")
            return None if payload is None else await deserialize(config.serializer, payload, described)
        case _:
            raise call.failure(ChildContextError, details.get("Error") or {})
    try:
        value = await in_context(call, body)
        payload = await serialize(config.serializer, value, described)
        result = await deserialize(config.serializer, payload, described)
        recorded = payload if utf8_size(payload) <= CONTEXT_RESULT_BYTES else _summary(call, value, config)
    except NonDeterminismError:
        raise  # fails the execution; of this context it says nothing
    except Exception as error:  # noqa: BLE001 - whatever the function raises is the outcome of its context
        failure = call.error_object(error)
        await call.commit(Action.FAIL, Error=failure)
        raise call.failure(ChildContextError, failure) from None
    await call.commit(Action.SUCCEED, Payload=recorded, ContextOptions={"ReplayChildren": recorded is not payload})
    return result


async def in_context(call: Call, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``body`` with identities of its own below the call's. When it ends nothing of it can write any more."""
    with entered_scope(call.branch.workflow, Scope(call.id, call.branch.scope), call.id):
        return await body()


async def in_virtual_context(call: Call, body: Callable[[], Awaitable[Any]]) -> Any:
    """The same for a context that is not recorded: its operations are children of the nearest one that is."""
    with entered_scope(call.branch.workflow, Scope(call.branch.scope.id, call.branch.scope), call.id):
        return await body()


def _summary(call: Call, value: Any, config: ChildConfig) -> str:
    return call.sized(config.summary(value)) if config.summary else ""
