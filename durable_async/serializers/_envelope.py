"""What the stages have in common: the envelope that tells a stage's text from its inner serializer's.

A stage is a serializer around another one: it changes the text that the inner one wrote, and changes it back. Its text
is a compact JSON object, such as ``{"$durable_async":"zlib","data":"eJy..."}``.

- An envelope is known by its first characters, up to the comma after the stage's name; what begins otherwise is the
  inner serializer's text and is handed to it unchanged. So a stage reads what was recorded before it was added.
- ``JsonSerializer`` writes a space after each colon: no value whatever makes its text begin like an envelope.
- Where another inner serializer's text does, the stage puts it in an envelope of its own, whatever its size. So of
  what a stage wrote, only envelopes begin like one.

What remains: text from before a stage was added, from an inner serializer that is not ``JsonSerializer``, that begins
with the stage's own ``{"$durable_async":"<stage>",``. It is taken for an envelope.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from typing import Any, Final

import attrs

from durable_async.errors import SerializationError
from durable_async.serializers._json.tree import decode, is_object
from durable_async.serializers.base import SerializerContext

RESERVED: Final = "$durable_async"

_compact = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class Envelope:
    """One stage's: an object of the reserved member, first, and of text members.

    :ivar stage: the reserved member's value
    """

    stage: str
    members: tuple[str, ...]

    def opens(self, text: str) -> bool:
        """Whether ``text`` begins like this envelope, and so has to be one."""
        return text.startswith(f'{{"{RESERVED}":"{self.stage}",')

    def write(self, **members: str) -> str:
        return _compact({RESERVED: self.stage, **members})

    def read(self, text: str, context: SerializerContext) -> dict[str, str]:
        """The members of a text that :meth:`opens` the envelope.

        :raises SerializationError: it begins like one and is none
        """
        try:
            tree = decode(text)
        except (ValueError, RecursionError):
            raise self.damaged(context, "it is not JSON") from None
        if not is_object(tree) or tree.keys() != {RESERVED, *self.members}:
            raise self.damaged(context, f"its members are not {', '.join(self.members)}")
        if not all(isinstance(member, str) for member in tree.values()):
            raise self.damaged(context, "a member is not a string")
        return tree

    def damaged(self, context: SerializerContext, why: str) -> SerializationError:
        return SerializationError(context.operation, f"the recorded {self.stage} envelope is damaged: {why}")

    def bytes_of(self, member: str, context: SerializerContext) -> bytes:
        """:raises SerializationError: ``member`` is no base64"""
        try:
            return a2b_base64(member, strict_mode=True)
        except ValueError:
            raise self.damaged(context, "its data are not base64") from None

    def text_of(self, data: bytes, context: SerializerContext) -> str:
        """:raises SerializationError: ``data`` are no text that :func:`utf8` made"""
        try:
            return data.decode(errors="surrogatepass")
        except UnicodeDecodeError:
            raise self.damaged(context, "its content is not text") from None


def utf8(text: str) -> bytes:
    """Any ``str``, for a serializer's text may hold lone surrogates."""
    return text.encode(errors="surrogatepass")


def base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


# --- validators of the stages' attributes ---


def follows(protocol: type[Any]) -> Any:
    """Of an attribute that has to be an object with the protocol's methods. A class has them too, and is not meant."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, type) or not isinstance(value, protocol):
            raise TypeError(f"{attribute.name} must be a {protocol.__name__}, not {type(value).__name__} {value!r:.60}")

    return validate


def byte_count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{attribute.name} must be a number of bytes, not {value!r}")
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative: {value}")
