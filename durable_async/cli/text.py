"""Text that is safe to print, and standard streams that may be closed or not be UTF-8.

The text in an execution comes from its callers. Printed unchanged, it could move the cursor, recolour the terminal or
show characters in another order.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from io import TextIOWrapper
from typing import Any, cast

from durable_async._wire.text import JsonMembers

# The marks that change the direction of a text, and halves of surrogate pairs, which no encoding accepts.
_MARKS = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(rf"[\x00-\x1f{_MARKS}]")
_UNSAFE_IN_JSON = re.compile(rf"[{_MARKS}]")  # below 0x20 JSON has only white space

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def one_line(text: str) -> str:
    """Return ``text`` with control characters escaped as in Python."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shorten(text: str, width: int | None) -> str:
    """Return ``text`` as one line of at most ``width`` characters; None: of any length."""
    if width is None:
        return one_line(text)
    shown = one_line(text[: width + 1])
    return shown if len(shown) <= width else f"{shown[: max(0, width - 1)]}…"


def dump_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON that is safe on a terminal and has the same meaning."""
    return _safe_json(json.dumps(value, ensure_ascii=False, indent=indent))


def payload_as_json(payload: str | None) -> str:
    """Return a payload unchanged if it is JSON, and otherwise as a JSON string."""
    if payload is None:
        return "null"
    try:
        json.loads(payload)
    except ValueError:
        return dump_json(payload)
    return _safe_json(payload)


def _safe_json(text: str) -> str:
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def local_time(seconds: float) -> str:
    """Return epoch seconds in ISO format, in local time with its offset, to the millisecond."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def duration(seconds: float) -> str:
    """Return a duration in the form ``12ms``, ``3.4s``, ``2m05s``, ``7h30m`` or ``3d04h``."""
    if seconds < 1:
        return f"{min(999, round(seconds * 1000))}ms"
    if seconds < 60:
        return f"{int(seconds * 10) / 10:g}s"
    for whole, unit, part, of_it in _UNITS:
        if seconds >= whole:
            return f"{int(seconds // whole)}{unit}{int(seconds % whole // part):02}{of_it}"
    raise AssertionError(seconds)


def with_local_times(value: Any) -> object:
    """Return an answer of the API with its timestamps in ISO format, as other tools for AWS print it."""
    match value:
        case Mapping():
            members = cast("JsonMembers", value)
            return {name: _member(name, each) for name, each in members.items()}
        case list():
            return [with_local_times(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _member(name: str, value: object) -> object:
    if name.endswith("Timestamp") and isinstance(value, int | float):
        return local_time(value)
    return with_local_times(value)


def function_name(arn: str) -> str:
    """Return the name in a function's ARN, without its version."""
    from durable_async.service.model.arns import parse_function

    parsed = parse_function(arn)
    return arn if parsed is None else parsed.name


def execution_name(arn: str) -> str:
    """Return the name in an execution's ARN."""
    from durable_async.service.model.arns import parse_execution

    parsed = parse_execution(arn)
    return arn if parsed is None else parsed.name


def error_line(error: Mapping[str, object] | None) -> str:
    """Return an error in the form ``OrderError: no such order``."""
    if not error:
        return ""
    kind, message = str(error.get("ErrorType") or ""), str(error.get("ErrorMessage") or "")
    return ": ".join(part for part in (kind.rpartition(".")[2], message) if part)


_ESCAPED = "durable_async.escaped"


def any_text_can_be_written() -> None:
    r"""Write what the terminal's encoding lacks as ``\u00e9``, which in JSON means the same."""
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{code}" for code in codes), error.end


def drop_output() -> None:
    """Discard all further output, so that the interpreter's last flush does not report a closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def utf8(text: str) -> bytes:
    """Return the bytes of a command line argument. If the locale is not UTF-8, Python represents them by surrogates."""
    return text.encode("utf-8", "surrogateescape")
