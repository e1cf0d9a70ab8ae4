"""Reads JSON from outside without blocking the event loop.

The standard library's parser holds the interpreter's lock until it has read everything: some megabytes of brackets
block every thread for seconds. So there are two parsers, and the number of structural characters decides which one
runs:

- few of them: the parser in C, on the event loop. The rest of the text are strings, which it reads very fast
- many: the parser in Python, in a thread, one text at a time. It is slower, but the interpreter can release its lock
  between any two values, so the event loop waits for some milliseconds only

Both refuse the same texts: nesting deeper than ``DEPTH``, more than ``CONTAINERS`` arrays and objects (freeing them
cannot be interrupted), half a surrogate pair, NaN, and numbers that ``int`` refuses.
"""

from __future__ import annotations

import json
import json.scanner
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Never, TypeVar, cast

from durable_async.service.computing import compute

T = TypeVar("T")

DEPTH = 200  # levels of nested JSON; far below what the interpreter's recursion limit allows
CONTAINERS = 100_000  # arrays and objects in one text
LIGHT = 30_000  # structural characters that the parser in C may read on the event loop

_SLICE_BYTES = 256 * 1024
_NOT_STRUCTURAL = bytes(set(range(256)) - set(b"[]{},:"))
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotReadable(ValueError):  # noqa: N818 - what is wrong with a text, as one sentence
    """The text is not JSON, or is JSON that is refused. Its message never quotes the text."""


def is_light(body: bytes | bytearray) -> bool:
    """Return whether ``body`` has few enough structural characters to be read on the event loop. Reads it in slices,
    and only as far as needed.
    """
    found = 0
    for start in range(0, len(body), _SLICE_BYTES):
        found += len(body[start : start + _SLICE_BYTES].translate(None, _NOT_STRUCTURAL))
        if found > LIGHT:
            return False
    return True


async def read(shape: Callable[[bytes], T], body: bytes) -> T:
    """Return ``shape(body)``, called in a thread if ``body`` is not light. ``shape`` must be pure, and parse with
    :func:`loads`.

    A cancelled call returns at once; its thread ends with the text.
    """
    return await compute(partial(shape, body), light=is_light(body))


def loads(body: bytes) -> object:
    """Return the JSON value in ``body``. It can be written as UTF-8 again.

    :raises NotReadable: ``body`` is not JSON in UTF-8, or is refused
    """
    try:
        text = body.decode()
        is_quick = is_light(body)
        value = (_LIGHT if is_quick else _Interruptible()).decode(text)
        if is_quick and body.count(b"[") + body.count(b"{") > DEPTH:
            _check_depth(value)
        if _SURROGATE.search(text):
            _check_surrogates(value)
    except NotReadable:
        raise
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise NotReadable(f"it is not UTF-8: {error.reason}") from None
    except json.JSONDecodeError as error:
        raise NotReadable(f"{error.msg}: line {error.lineno} column {error.colno} (char {error.pos})") from None
    except RecursionError:
        raise NotReadable(_TOO_DEEP) from None
    except ValueError:  # of int()
        raise NotReadable("it has a number of too many digits") from None
    return value


_TOO_DEEP = f"it nests deeper than {DEPTH} levels"


class _Interruptible(json.JSONDecoder):
    """The parser in Python, which the interpreter can interrupt between two values."""

    def __init__(self) -> None:
        # Up to Python 3.13, its pattern of numbers accepts the digits of every script.
        super().__init__(parse_constant=_no_constant, parse_int=_integer, parse_float=_float)
        self._depth = self._containers = 0
        members = cast("Any", self)
        members.parse_array = self._counted(members.parse_array)
        members.parse_object = self._counted(members.parse_object)
        members.scan_once = cast("Any", json.scanner).py_make_scanner(self)

    def _counted(self, parse: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            self._containers += 1
            self._depth += 1
            if self._depth > DEPTH:
                raise NotReadable(_TOO_DEEP)
            if self._containers > CONTAINERS:
                raise NotReadable(f"it has more than {CONTAINERS} arrays and objects")
            result = parse(*arguments)
            self._depth -= 1
            return result

        return counted


def _integer(digits: str) -> int:
    return int(_ascii(digits))


def _float(digits: str) -> float:
    return float(_ascii(digits))


def _ascii(digits: str) -> str:
    if not digits.isascii():
        raise NotReadable("it has a digit that JSON does not have")
    return digits


def _no_constant(name: str) -> Never:
    raise NotReadable(f"{name} is not JSON")


_LIGHT = json.JSONDecoder(parse_constant=_no_constant)


def _check_depth(value: object) -> None:
    """Check the depth level by level, so that each array and object is visited once."""
    level = [value]
    for _ in range(DEPTH):
        level = [member for found in level for member in _members(found) if isinstance(member, (dict, list))]
        if not level:
            return
    raise NotReadable(_TOO_DEEP)


def _check_surrogates(value: object) -> None:
    level = [value]
    while level:
        for found in level:
            if isinstance(found, str):
                found.encode()
        level = [member for found in level for member in _members(found, keys=True)]


def _members(value: object, *, keys: bool = False) -> list[object]:
    """Return the items of an array or the values of an object; other values have none."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return [*members, *members.values()] if keys else [*members.values()]
    return list(cast("Iterable[object]", value)) if isinstance(value, list) else []
