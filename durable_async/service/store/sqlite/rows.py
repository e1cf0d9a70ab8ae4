"""Converts objects to rows and back. The columns of a table are derived from the fields of its class.

A long payload is stored once for each execution, although an operation, an event and the execution's row may contain
it: it is in the table ``payloads`` under its digest, and the rows hold the digest. A short payload is in each row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from hashlib import blake2b
from operator import attrgetter
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin

import attrs

from durable_async._wire.text import JsonMembers, JsonObject, from_utf8, utf8
from durable_async.service.machine import Execution, OperationRecord
from durable_async.service.model.columns import Column
from durable_async.service.model.history import PAYLOADS, HistoryEvent

T = TypeVar("T")

INLINE = 256
"""Up to this number of characters, a payload is stored in the row that has it. Tables without rowid need small rows,
and a short payload costs less than its digest.
"""

Row = tuple[Any, ...]

compact_json: Callable[[object], str] = json.JSONEncoder(separators=(",", ":")).encode
"""The encoding of JSON: ASCII, in which lone surrogates are escaped."""


class PayloadWriter:
    """Collects the long payloads of one write. ``bodies`` holds them by digest.

    :param inline: up to this number of characters, a payload is stored in the row that has it
    """

    def __init__(self, inline: int = INLINE) -> None:
        self._inline = inline
        self.bodies: dict[bytes, bytes] = {}
        self._digests: dict[str, bytes] = {}  # an operation and its event often have the same text

    def digest(self, text: str) -> bytes | None:
        """Return the digest under which ``text`` is stored; None if it is short and is stored in the row."""
        if len(text) <= self._inline:
            return None
        digest = self._digests.get(text)
        if digest is None:
            body = utf8(text)
            digest = self._digests[text] = blake2b(body, digest_size=20).digest()
            self.bodies[digest] = body
        return digest


class PayloadReader:
    """Reads the long payloads of one stored execution."""

    def __init__(self, connection: sqlite3.Connection, execution: int) -> None:
        self._connection = connection
        self._execution = execution
        self._texts: dict[bytes, str] = {}

    def long(self, digest: bytes) -> str:
        text = self._texts.get(digest)
        if text is None:
            question = "SELECT body FROM payloads WHERE execution = ? AND digest = ?"
            (body,) = self._connection.execute(question, (self._execution, digest)).fetchone()
            text = self._texts[digest] = from_utf8(body)
        return text


# --- from a field to its columns ---


@attrs.frozen
class _Coded:
    """Converts a value to the columns ``suffixes`` and back. ``write`` is not called for None, which is NULL in each
    column."""

    suffixes: tuple[str, ...]
    write: Callable[[Any, PayloadWriter], Row]
    read: Callable[[Row, PayloadReader], Any]


def _columns(leaf: _Leaf) -> tuple[str, ...]:
    return tuple("_".join(leaf.path) + suffix for suffix in (leaf.coded.suffixes if leaf.coded else ("",)))


@attrs.frozen
class _Leaf:
    """A value in a row.

    :ivar path: the field that has the value, or a field with an object and a field of that object
    :ivar kind: the class of the values
    :ivar coded: the conversion; None: the value is stored as it is, or as the value of an enum
    :ivar columns: the columns, computed once because every row that is read needs them
    """

    path: tuple[str, ...]
    kind: type[Any]
    coded: _Coded | None
    columns: tuple[str, ...] = attrs.field(init=False, default=attrs.Factory(_columns, takes_self=True))

    def read(self, columns: Row, payloads: PayloadReader) -> Any:
        """Return the value in a row.

        :raises TypeError: the columns hold values of another type, which SQLite allows
        """
        if self.coded is not None:
            return self.coded.read(columns, payloads)
        value = columns[0]
        if value is None:
            return None
        if type(value) is not (int if issubclass(self.kind, int) else str):
            raise TypeError(self.columns[0])
        return self.kind(value)


def _payload(kind: type[object]) -> _Coded:
    is_text = kind is str

    def write(value: Any, payloads: PayloadWriter) -> Row:
        text = value if is_text else compact_json(value)
        digest = payloads.digest(text)
        return (utf8(text), None) if digest is None else (None, digest)

    def read(columns: Row, payloads: PayloadReader) -> Any:
        short: bytes | None = columns[0]
        digest: bytes | None = columns[1]
        if short is None and digest is None:
            return None
        text = payloads.long(digest) if digest is not None else from_utf8(short or b"")
        return text if is_text else json.loads(text)

    return _Coded(("", "_digest"), write, read)


def _json(kind: type[object]) -> _Coded:
    def write(value: Any, payloads: PayloadWriter) -> Row:
        return (compact_json(_members(value, payloads) if attrs.has(kind) else value),)

    def read(columns: Row, payloads: PayloadReader) -> Any:
        if columns[0] is None:
            return None
        members = json.loads(columns[0])
        return _object(kind, members, payloads) if attrs.has(kind) else members

    return _Coded(("",), write, read)


def _class_of(value: object) -> type[object]:
    return type(value)


def _members(value: Any, payloads: PayloadWriter) -> dict[str, object]:
    members: dict[str, object] = {}
    for field, kind in _kept_fields(_class_of(value)):
        member = getattr(value, field.name)
        if field.metadata.get("column") is Column.PAYLOAD and member is not None:
            text = member if kind is str else compact_json(member)
            digest = payloads.digest(text)
            members |= {field.name: text} if digest is None else {f"{field.name}_digest": digest.hex()}
        else:
            members[field.name] = _members(member, payloads) if attrs.has(_class_of(member)) else member
    return members


def _object(kind: type[object], members: JsonMembers, payloads: PayloadReader) -> object:
    values: dict[str, object] = {}
    for field, of_field in _kept_fields(kind):
        value: Any = members.get(field.name)
        digest: str | None = members.get(f"{field.name}_digest")
        if digest is not None:
            value = payloads.long(bytes.fromhex(digest))
        if value is not None and field.metadata.get("column") is Column.PAYLOAD and of_field is not str:
            value = json.loads(value)
        values[field.name] = _object(of_field, value, payloads) if value is not None and attrs.has(of_field) else value
    return kind(**values)


def _write_details(details: Mapping[str, object], payloads: PayloadWriter) -> Row:
    """Convert the details of an event. An event has at most one payload. If it is long, extra columns name it."""
    for member, value in details.items():
        if member in PAYLOADS and value is not None:
            digest = payloads.digest(value if isinstance(value, str) else compact_json(value))
            if digest is not None:
                rest = {name: value for name, value in details.items() if name != member}
                return compact_json(rest), member, digest
    return compact_json(details) if details else "{}", None, None


def _read_details(columns: Row, payloads: PayloadReader) -> Mapping[str, object]:
    details: JsonObject = json.loads(columns[0])
    if (member := columns[1]) is not None:
        text = payloads.long(columns[2])
        details[member] = json.loads(text) if member == "Error" else text
    return details


_DETAILS = _Coded(("", "_member", "_digest"), _write_details, _read_details)


def _kept_fields(cls: type[Any]) -> Iterator[tuple[Any, type[Any]]]:
    """Yield the fields that have columns, each with its class. For an optional field this is the class without None."""
    for field in attrs.fields(attrs.resolve_types(cls)):
        if field.metadata.get("column") is not Column.DERIVED:
            kinds = [kind for kind in get_args(field.type) if kind is not NoneType]
            kind = kinds[0] if kinds and not isinstance(field.type, type) else field.type
            yield field, get_origin(kind) or kind


def _leaves(cls: type[Any], before: tuple[str, ...] = ()) -> Iterator[_Leaf]:
    for field, kind in _kept_fields(cls):
        path = (*before, field.name)
        match field.metadata.get("column"):
            case Column.PAYLOAD:
                yield _Leaf(path, kind, _payload(kind))
            case Column.JSON:
                yield _Leaf(path, kind, _json(kind))
            case Column.DETAILS:
                yield _Leaf(path, kind, _DETAILS)
            case _ if attrs.has(kind):
                yield from _leaves(kind, path)
            case _:
                yield _Leaf(path, kind, None)


# --- tables ---


class Table(Generic[T]):
    """The objects of one class as rows of one table.

    :param derived: columns that are computed from the object when it is written, and the classes of their values
    """

    def __init__(self, name: str, cls: type[T], derived: Mapping[str, tuple[type, Callable[[T], Any]]] = {}) -> None:
        self.name = name
        self._cls = cls
        leaves = [*_leaves(cls)]
        of_class = [leaf for leaf in leaves if len(leaf.path) == 1]
        of_parts = [leaf for leaf in leaves if len(leaf.path) > 1]
        self._leaves = [*of_class, *of_parts]
        self._derived = [derive for _, derive in derived.values()]
        self._derived_leaves = [_Leaf((column,), kind, None) for column, (kind, _) in derived.items()]
        self._get = attrgetter(*map(_attribute, of_class))
        self._parts: dict[str, tuple[Callable[[Any], Row], Row]] = {}
        for part in dict.fromkeys(leaf.path[0] for leaf in of_parts):
            names = [leaf.path[1] for leaf in of_parts if leaf.path[0] == part]
            self._parts[part] = attrgetter(*names), (None,) * len(names)
        self._part_classes = {field.name: kind for field, kind in _kept_fields(cls)}
        coded = {place: leaf.coded for place, leaf in enumerate(self._leaves) if leaf.coded is not None}
        self._coded = {place: (each.write, (None,) * len(each.suffixes)) for place, each in coded.items()}
        self._last_first = [(place, *self._coded[place]) for place in sorted(coded, reverse=True)]
        self.columns_of: list[tuple[str, ...]] = [leaf.columns for leaf in (*self._leaves, *self._derived_leaves)]
        """The columns of each value that ``take`` returns."""
        self.columns: tuple[str, ...] = tuple(column for columns in self.columns_of for column in columns)

    def take(self, record: T) -> Row:
        """Return the current values of ``record``. ``row`` converts them to a row on another thread."""
        taken: Row = self._get(record)
        for name, (get, nothing) in self._parts.items():
            part = getattr(record, name)
            taken += nothing if part is None else get(part)
        for derive in self._derived:
            taken += (derive(record),)
        return taken

    def row(self, taken: Row, payloads: PayloadWriter, *more: Any) -> Row:
        """Return the values of ``columns``, followed by ``more``."""
        row = [*taken, *more]
        for place, write, nothing in self._last_first:
            value = taken[place]
            row[place : place + 1] = nothing if value is None else write(value, payloads)
        return tuple(row)

    def changes(self, taken: Row, places: Iterable[int], payloads: PayloadWriter) -> Row:
        """Return the values of the columns of ``places`` only."""
        if self._coded.keys().isdisjoint(places):  # as at most checkpoints
            return tuple([taken[place] for place in places])
        row: list[Any] = []
        for place in places:
            value, coded = taken[place], self._coded.get(place)
            if coded is None:
                row.append(value)
            else:
                write, nothing = coded
                row += nothing if value is None else write(value, payloads)
        return tuple(row)

    def read(self, row: Row, payloads: PayloadReader) -> T:
        """Return the object whose ``columns`` are in ``row``.

        :raises Exception: a value is damaged
        """
        values: JsonObject = {}
        parts: dict[str, JsonObject] = {name: {} for name in self._parts}
        place = 0
        for leaf in self._leaves:
            columns = row[place : place + len(leaf.columns)]
            place += len(columns)
            target = values if len(leaf.path) == 1 else parts[leaf.path[0]]
            target[leaf.path[-1]] = leaf.read(columns, payloads)
        for leaf, value in zip(self._derived_leaves, row[place:], strict=True):
            leaf.read((value,), payloads)  # a damaged value
        for name, members in parts.items():
            first = next(iter(members.values()))  # every object inside another object has this field
            values[name] = None if first is None else self._part_classes[name](**members)
        return self._cls(**values)


def _attribute(leaf: _Leaf) -> str:
    """Return the path of a value for ``attrgetter``.

    It ends at plain strings and ints, because the sqlite3 module is slow with enums and bools.
    """
    plain = "._value_" if issubclass(leaf.kind, Enum) else ".real" if leaf.kind is bool else ""
    return leaf.path[0] + plain


def _unseen(execution: Execution) -> str:
    return compact_json([operation.sequence for operation in execution.unseen.values()]) if execution.unseen else "[]"


EXECUTIONS = Table(
    "executions",
    Execution,
    {
        "unseen": (str, _unseen),
        "due_ms": (int, Execution.next_due_ms),
        "active": (int, attrgetter("active.real")),
    },
)
OPERATIONS = Table("operations", OperationRecord)
EVENTS = Table("events", HistoryEvent)
