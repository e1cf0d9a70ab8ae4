"""Writes values to the record and reads them back, with the serializer of their operation.

A user's serializer may wait for something, such as a file store. A suspension does not interrupt that. What it sets in
context variables is gone when it ends, because a replay only reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from durable_async._engine.call import Call
from durable_async._engine.isolation import isolated
from durable_async.errors import StorageUnavailableError
from durable_async.serializers import NO_TYPE, Serializer, SerializerContext
from durable_async.serializers._json import serializer as serializers
from durable_async.serializers._json.annotations import return_type
from durable_async.serializers._json.serializer import JSON, deserialize, serialize


def serializer_context(
    call: Call, func: Callable[..., object] | None = None, returns: object = NO_TYPE
) -> SerializerContext:
    """Return what a serializer needs to know: whose value it is, and the type to read it as, which is ``returns`` or
    the return annotation of ``func``."""
    if returns is NO_TYPE and func is not None:
        returns = return_type(func)
    return SerializerContext(call.journal.execution_arn, call.id, call.name, returns)


async def written(call: Call, serializer: Serializer | None, value: object, described: SerializerContext) -> str:
    """Return the text to record.

    :raises SerializationError: the value cannot be written
    """
    if serializer is None:
        return await serialize(None, value, described)
    with call.running:
        return await isolated(partial(serialize, serializer, value, described))


async def round_trip(
    call: Call, serializer: Serializer | None, value: object, described: SerializerContext
) -> tuple[str, Any]:
    """Return the text to record, and the value that every replay will read from it.

    :raises SerializationError: the value cannot be written, or its text cannot be read
    """
    if serializer is None:
        return JSON.round_trip(value, described)
    with call.running:
        return await isolated(partial(serializers.round_trip, serializer, value, described))


async def recorded(call: Call, serializer: Serializer | None, text: str | None, described: SerializerContext) -> Any:
    """Return the value of a recorded text; None if there is no text.

    If the storage that keeps the value does not answer, the invocation ends and is repeated: that says nothing about
    the execution.

    :raises SerializationError: the text cannot be read
    """
    if text is None:
        return None
    if serializer is None:
        return await deserialize(None, text, described)
    try:
        with call.running:
            return await isolated(partial(deserialize, serializer, text, described))
    except StorageUnavailableError as error:
        await call.journal.fail(error)
