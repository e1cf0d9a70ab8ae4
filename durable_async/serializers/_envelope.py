"""The envelope that distinguishes a stage's text from that of its inner serializer.

A stage is a serializer around another one: it changes the text that the inner one wrote, and changes it back. Its text
is a compact JSON object, such as ``{"$durable_async":"zlib","data":"eJy..."}``.

- An envelope is recognized by its first characters, up to the comma after the stage's name. Other text is the inner
  serializer's and is passed to it unchanged. So a stage reads what was recorded before it was added.
- ``JsonSerializer`` writes a space after each colon: its text never begins like an envelope.
- If the text of another inner serializer begins like an envelope, the stage puts it in an envelope of its own,
  whatever its size. So among the texts that a stage wrote, only envelopes begin like one.

One case remains: text that was recorded before a stage was added, by an inner serializer other than
``JsonSerializer``, and begins with the stage's own ``{"$durable_async":"<stage>",``. It is read as an envelope.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from typing import Any, Final

import attrs

from durable_async._wire.text import from_utf8
from durable_async.errors import SerializationError
from durable_async.serializers._json.tree import decode, is_object
from durable_async.serializers.base import SerializerContext

RESERVED: Final = "$durable_async"

_compact = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class Envelope:
    """The envelope of one stage: a JSON object with the reserved member first, then members that are strings.

    :ivar stage: the value of the reserved member
    """

    stage: str
    members: tuple[str, ...]

    def opens(self, text: str) -> bool:
        """Return whether ``text`` begins like this envelope. If it does, it has to be one."""
        return text.startswith(f'{{"{RESERVED}":"{self.stage}",')

    def write(self, **members: str) -> str:
        return _compact({RESERVED: self.stage, **members})

    def read(self, text: str, context: SerializerContext) -> dict[str, str]:
        """Return the members of a text that :meth:`opens` the envelope.

        :raises SerializationError: it begins like an envelope and is not one
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
        """Return the bytes that a member holds as base64.

        :raises SerializationError: ``member`` is not base64
        """
        try:
            return a2b_base64(member, strict_mode=True)
        except ValueError:
            raise self.damaged(context, "its data is not base64") from None

    def text_of(self, data: bytes, context: SerializerContext) -> str:
        """Return the text of ``data``.

        :raises SerializationError: ``data`` is not text that :func:`utf8` made
        """
        try:
            return from_utf8(data)
        except UnicodeDecodeError:
            raise self.damaged(context, "its content is not text") from None


def base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


# --- validators of the stages' attributes ---


def follows(protocol: type[object]) -> Any:
    """Return a validator: the attribute must be an object with the protocol's methods, and not a class."""

    def validate(_: object, attribute: attrs.Attribute[object], value: object) -> None:
        if isinstance(value, type) or not isinstance(value, protocol):
            raise TypeError(f"{attribute.name} must be a {protocol.__name__}, not {type(value).__name__} {value!r:.60}")

    return validate


def byte_count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{attribute.name} must be a number of bytes, not {value!r}")
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative: {value}")
