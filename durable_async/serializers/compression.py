"""A stage that compresses."""

from __future__ import annotations

import zlib
from typing import Any

import attrs

from durable_async.serializers.base import Serializer, SerializerContext
from durable_async.serializers.default import JSON, deserialize, serialize
from durable_async.serializers.stages import Envelope, base64, byte_count, follows, utf8

_ENVELOPE = Envelope("zlib", ("data",))


@attrs.frozen
class Compressed:
    """Compresses what ``inner`` writes, where that makes it shorter.

    The same value gives the same text, as long as zlib stays the same: another version or build of it may compress to
    other bytes, which all read alike. Runs on the event loop: some 25 ms for a megabyte of JSON.

    :ivar threshold: bytes of UTF-8; text of no more than this is left as it is
    :ivar level: zlib's, from 1 (fastest) to 9 (smallest)
    """

    inner: Serializer = attrs.field(default=JSON, validator=follows(Serializer))
    threshold: int = attrs.field(default=1024, validator=byte_count)
    level: int = attrs.field(default=6, validator=attrs.validators.in_(range(1, 10)))

    async def serialize(self, value: Any, context: SerializerContext) -> str:
        """:raises SerializationError: ``inner`` cannot write the value"""
        text = await serialize(self.inner, value, context)
        data = utf8(text)
        begins_like_ours = _ENVELOPE.opens(text)
        if len(data) <= self.threshold and not begins_like_ours:
            return text
        compressed = _ENVELOPE.write(data=base64(zlib.compress(data, self.level)))
        return compressed if begins_like_ours or len(compressed) < len(data) else text

    async def deserialize(self, text: str, context: SerializerContext) -> Any:
        """:raises SerializationError: the text is damaged, or ``inner`` cannot read what was in it"""
        if _ENVELOPE.opens(text):
            text = _decompressed(_ENVELOPE.read(text, context)["data"], context)
        return await deserialize(self.inner, text, context)


def _decompressed(member: str, context: SerializerContext) -> str:
    data = _ENVELOPE.bytes_of(member, context)
    try:
        return _ENVELOPE.text_of(zlib.decompress(data), context)
    except zlib.error as error:
        raise _ENVELOPE.damaged(context, str(error)) from None
