"""A stage that compresses."""

from __future__ import annotations

import zlib
from typing import Any

import attrs

from durable_async._wire.limits import PAYLOAD_BYTES
from durable_async._wire.text import utf8
from durable_async.errors import SerializationError
from durable_async.serializers._envelope import Envelope, base64, byte_count, follows
from durable_async.serializers._json.serializer import JSON, deserialize, serialize
from durable_async.serializers.base import Serializer, SerializerContext

_ENVELOPE = Envelope("zlib", ("data",))


@attrs.frozen
class Compressed:
    """Compresses what ``inner`` writes, if that makes it shorter.

    The same value gives the same text as long as zlib is the same: another version or build may compress to other
    bytes, which decompress to the same text. Runs on the event loop: about 25 ms for a megabyte of JSON.

    :ivar threshold: text of at most this many bytes of UTF-8 is not compressed
    :ivar limit: how many bytes of UTF-8 ``inner`` may write. More is refused when it is written and when it is read,
        so that a short text cannot use up all memory. By default 16 MiB: without a limit, a megabyte, the maximum of a
        record, may contain a gigabyte
    :ivar level: the level of zlib, from 1 (fastest) to 9 (smallest)
    """

    inner: Serializer = attrs.field(default=JSON, validator=follows(Serializer))
    threshold: int = attrs.field(default=1024, validator=byte_count)
    level: int = attrs.field(default=6, validator=attrs.validators.in_(range(1, 10)))
    limit: int = attrs.field(default=16 * PAYLOAD_BYTES, validator=byte_count, kw_only=True)

    async def serialize(self, value: object, context: SerializerContext) -> str:
        """Return the text of the value, compressed if that makes it shorter.

        :raises SerializationError: ``inner`` cannot write the value, or writes more than the limit
        """
        text = await serialize(self.inner, value, context)
        data = utf8(text)
        begins_like_ours = _ENVELOPE.opens(text)
        if len(data) <= self.threshold and not begins_like_ours:
            return text
        if len(data) > self.limit:
            raise SerializationError(
                context.operation,
                f"{len(data)} bytes are more than the {self.limit} bytes that Compressed would read back. Use "
                "Compressed(..., limit=...) with a higher limit, or keep the data elsewhere",
            )
        compressed = _ENVELOPE.write(data=base64(zlib.compress(data, self.level)))
        return compressed if begins_like_ours or len(compressed) < len(data) else text

    async def deserialize(self, text: str, context: SerializerContext) -> Any:
        """Return the value of a text, compressed or not.

        :raises SerializationError: the text is damaged or holds more than the limit, or ``inner`` cannot read it
        """
        if _ENVELOPE.opens(text):
            data = _ENVELOPE.bytes_of(_ENVELOPE.read(text, context)["data"], context)
            text = _ENVELOPE.text_of(_decompressed(data, self.limit, context), context)
        return await deserialize(self.inner, text, context)


def _decompressed(data: bytes, limit: int, context: SerializerContext) -> bytes:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limit + 1)  # no more than that is ever in memory
        if len(content) > limit:
            raise SerializationError(
                context.operation,
                f"{len(data)} bytes of compressed data hold more than the {limit} bytes that Compressed reads. If "
                "they are yours, use Compressed(..., limit=...) with a higher limit",
            )
    except zlib.error as error:
        raise _ENVELOPE.damaged(context, str(error)) from None
    if not stream.eof or stream.unused_data:
        raise _ENVELOPE.damaged(context, "incomplete, or more than it (Error -5 of zlib)")
    return content
