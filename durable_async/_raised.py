"""Describes exceptions that were raised outside this package.

Such an exception can be any object: its ``str`` may raise, its attributes may be properties, it may contain a thousand
others. Nothing here raises because of that, and every result is bounded. The class is taken from ``type(error)``
and never from ``error.__class__``, which an exception may redefine.
"""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TypeGuard, cast

from durable_async._excerpts import cut
from durable_async.errors import DurableError, OperationError

_FRAMES = 30  # of one exception, the innermost ones
_ERRORS = 16  # exceptions shown of one trace, or of one group
_HEADLINE = 300  # characters of an exception that is shown inside another one
_MACHINERY = {"anyio", "asyncio", "concurrent", "durable_async", "threading"}

Kinds = type[BaseException] | tuple[type[BaseException], ...]


def type_name(kind: type) -> str:
    """Return how the record names an exception class: with its module, but builtins without.

    The official Python SDK names them like this too.
    """
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def text_of(value: object) -> str:
    """Return ``str(value)``, of an exception or of what is in one. If that raises, return a sentence that says so."""
    try:
        return str.__str__(str(value))  # a plain str, also if __str__ returned an instance of a subclass
    except Exception as broken:  # noqa: BLE001 - the user's method
        return f"(str() of this {type_name(type(value))} raised {type_name(type(broken))})"


def message_of(error: BaseException) -> str:
    """Return the text of an exception; of a group also the types and texts of its members."""
    if not is_group(error):
        return text_of(error)
    shown = [headline(leaf) for leaf, _ in zip(leaves(error), range(_ERRORS + 1), strict=False)]
    more = "; and more" if len(shown) > _ERRORS else ""
    return f"{text_of(error)}: {'; '.join(shown[:_ERRORS])}{more}"


def headline(error: BaseException) -> str:
    """Return the type and the text of an exception in one line of limited length.

    The type of an operation's error is that of what its body raised.
    """
    name = _recorded_type(error)
    text = cut(" ".join(text_of(error)[: _HEADLINE + 1].split()), _HEADLINE)
    return f"{name}: {text}" if text else name


def is_a(error: BaseException, kinds: Kinds) -> bool:
    """Return whether the exception is of these kinds. ``isinstance`` would ask the exception itself."""
    return issubclass(type(error), kinds)


def is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return is_a(error, BaseExceptionGroup)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group and in the groups in it, in order; the exception itself if it is not a group."""
    pending = [error]
    while pending:
        each = pending.pop()
        if is_group(each):
            pending.extend(reversed(each.exceptions))
        else:
            yield each


def holds(error: BaseException, kinds: Kinds) -> bool:
    """Return whether the exception is of these kinds, or is a group with one that is."""
    return is_a(error, kinds) or any(is_a(leaf, kinds) for leaf in leaves(error))


def trace_of(error: BaseException) -> list[str]:
    """Return where an exception was raised, outermost frame first, then its notes, then what led to it.

    A cause (``raise ... from``), the exception that was being handled, and the members of a group follow under a line
    that names them, each with its own frames and notes. Frames of this package and of the event loop are left out,
    unless there are no others and the error is not one of this package. For an operation's error it is the recorded
    trace, under a line that names the operation: see :func:`place_of`.
    """
    lines: list[str] = []
    try:
        lines.extend(_traced(error))
    except Exception as broken:  # noqa: BLE001 - attributes of the user's exception
        lines.append(f"(the rest of this trace cannot be read: {type_name(type(broken))})\n")
    return lines


def report_of(error: BaseException) -> str:
    """Return what a log shows of an exception: its type and text, then its trace as :func:`trace_of` returns it.

    For an operation's error, the place in the workflow that called the operation precedes the recorded trace.
    """
    lines = _frames(error) if is_a(error, OperationError) else []
    return f"{_recorded_type(error)}: {message_of(error)}\n{''.join([*lines, *trace_of(error)])}".rstrip()


def place_of(trace: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the id and the name of the operation whose body raised what has this trace.

    :return: the innermost operation. Both are None if the error did not come from an operation; the name is None if the
        operation has no name
    """
    place: tuple[str | None, str | None] = (None, None)
    for line in trace:
        found = _PLACE.fullmatch(line)
        if found is None:
            break
        place = (found["id"], found["name"])
    return place


def places_of(trace: Iterable[str]) -> set[str]:
    """Return the ids of all operations that a trace names: in front, and among what led to the error."""
    return {found["id"] for line in trace if (found := _PLACE.fullmatch(line)) is not None}


_PLACE = re.compile(r"\w+: operation (?:'(?P<name>.*)', )?id (?P<id>\S+)\n", re.DOTALL)


def _recorded_type(error: BaseException) -> str:
    recorded: object = getattr(error, "error_type", None) if is_a(error, OperationError) else None
    return recorded if isinstance(recorded, str) else type_name(type(error))


def _recorded(error: BaseException) -> Iterator[str]:
    operation_id: object = getattr(error, "operation_id", None)
    name: object = getattr(error, "operation_name", None)
    if operation_id is not None:
        named = f"'{name}', " if name is not None else ""
        yield f"{type(error).__name__}: operation {named}id {operation_id}\n"
    yield from (line for line in _entries(error, "stack_trace") if isinstance(line, str))


def _traced(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    pending = [("", error)]
    while pending:
        why, each = pending.pop()
        if id(each) in seen:
            continue
        if len(seen) == _ERRORS:
            yield "and more errors, which are not shown\n"
            return
        seen.add(id(each))
        if why:
            yield f"{why} {headline(each)}\n"
        yield from _recorded(each) if is_a(each, OperationError) else _frames(each)
        yield from (f"{note}\n" for note in _notes(each))
        pending.extend(reversed(_led_from(each)))


def _led_from(error: BaseException) -> list[tuple[str, BaseException]]:
    found: list[tuple[str, BaseException]] = []
    if error.__cause__ is not None:
        found.append(("caused by", error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append(("raised while handling", error.__context__))
    if is_group(error):
        found += [(f"member {number}:", member) for number, member in enumerate(error.exceptions, 1)]
    return found


def _frames(error: BaseException) -> list[str]:
    walked = [*traceback.walk_tb(error.__traceback__)]
    theirs = [each for each in walked if is_users(each[0])]
    return format_frames(theirs if theirs or is_a(error, DurableError) else walked)


def is_users(frame: FrameType) -> bool:
    """Return whether the code of a frame is the user's or a library's, and not what runs it."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] not in _MACHINERY


def format_frames(frames: Sequence[tuple[FrameType, int]]) -> list[str]:
    """Return the text of frames with their line numbers, as in a trace; of many frames, the last ones."""
    return traceback.StackSummary.from_list([_summary(frame, line) for frame, line in frames[-_FRAMES:]]).format()


def _summary(frame: FrameType, line: int) -> traceback.FrameSummary:
    """Describe a frame without its columns: markers under the source cost more than all the rest of a trace."""
    code = frame.f_code
    linecache.lazycache(code.co_filename, frame.f_globals)
    return traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False)


def _notes(error: BaseException) -> list[str]:
    return [text_of(note)[:_HEADLINE] for note in _entries(error, "__notes__")[:_ERRORS]]


def _entries(error: BaseException, attribute: str) -> Sequence[object]:
    """Return the items of an attribute that should be a list or tuple, but may hold anything."""
    held: object = getattr(error, attribute, None)
    return cast("Sequence[object]", held) if isinstance(held, (list, tuple)) else ()
