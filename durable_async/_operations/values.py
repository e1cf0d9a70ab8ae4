"""Values on their way to the record and back, through the serializer of their operation.

A serializer of the user's own may have something to wait for, such as a file store. A suspension does not cut that
short, and what it sets in context variables goes no further: a replay only reads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from durable_async._engine.call import Call
from durable_async._engine.isolation import isolated
from durable_async.errors import StorageUnavailableError
from durable_async.serializers import Serializer, SerializerContext
from durable_async.serializers._json import serializer as serializers
from durable_async.serializers._json.serializer import deserialize, serialize


async def written(call: Call, serializer: Serializer | None, value: Any, described: SerializerContext) -> str:
    """The text to record.

    :raises SerializationError: the value cannot be written
    """
    with call.running():
        if serializer is None:
            return await serialize(None, value, described)
        return await isolated(partial(serialize, serializer, value, described))


async def round_trip(
    call: Call, serializer: Serializer | None, value: Any, described: SerializerContext
) -> tuple[str, Any]:
    """The text to record, and what every replay will read from it.

    :raises SerializationError: the value cannot be written, or its text not read
    """
    with call.running():
        if serializer is None:
            return await serializers.round_trip(None, value, described)
        return await isolated(partial(serializers.round_trip, serializer, value, described))


async def recorded(call: Call, serializer: Serializer | None, text: str | None, described: SerializerContext) -> Any:
    """The value of a text on record; None if there is none.

    If the store that keeps it does not answer, the invocation ends and is repeated: of the execution it says nothing.

    :raises SerializationError: the text cannot be read
    """
    if text is None:
        return None
    if serializer is None:
        return await deserialize(None, text, described)
    try:
        with call.running():
            return await isolated(partial(deserialize, serializer, text, described))
    except StorageUnavailableError as error:
        await call.invocation.give_up(error)
