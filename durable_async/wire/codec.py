"""Sizes and texts as they are on the wire."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

from durable_async.wire.operations import OperationUpdate

_FRAME = 400  # bytes of an update besides its name, payload and error: member names, two ids, options


def wire_size(update: OperationUpdate) -> int:
    """Upper bound of the bytes of an update in a checkpoint request.

    A payload is JSON within JSON: its quotes are escaped, and what is not ASCII takes six bytes a character or more.
    """
    size = _FRAME + 2 * len(update.get("Name", ""))
    payload = update.get("Payload")
    if payload is not None:
        size += len(encode_basestring_ascii(payload))
    error = update.get("Error")
    if error is not None:
        size += sum(
            len(encode_basestring_ascii(text))
            for text in (
                error.get("ErrorType", ""),
                error.get("ErrorMessage", ""),
                error.get("ErrorData", ""),
                *error.get("StackTrace", ()),
            )
        )
    return size


def utf8_size(text: str) -> int:
    """Bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
