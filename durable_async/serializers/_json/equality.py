"""Compares a value that was read back with the one that was written, by types and fields and not by ``__eq__``.

``__eq__`` does not decide: with ``eq=False`` it compares identities, and fields can be left out of it. So a class with
fields is compared field by field, and only values that are written as one text, such as a ``UUID``, by ``==``.

- A subclass of a builtin scalar or container comes back as the builtin that is declared, and is equal if the builtin
  parts are: a ``StrEnum`` member as the ``str`` it is.
- Plain JSON that stands for a declared class was converted on purpose: of a ``dict`` that is read as a class, the
  members that are fields are compared.
- A moment is its wall clock time and its offset from UTC; the name of its zone is not written.

The functions return None, or the rest of the path and a reason, such as ``.items[0]: a Card would ...``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from dataclasses import fields as dataclass_fields
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import cache, cached_property
from typing import Any, TypeAlias, TypeGuard, TypeVar

import attrs

from durable_async._wire.text import JsonObject
from durable_async.serializers._json.kinds import Model, has_fields, is_model, is_namedtuple
from durable_async.serializers._json.plain import class_of
from durable_async.serializers._json.tree import SCALARS, class_name, is_plain, kind_of, member_path

T = TypeVar("T")

Difference: TypeAlias = str | None
Compare: TypeAlias = Callable[["Comparison", Any, Any], Difference]

_ABSENT = object()
_SEQUENCES = (tuple, list, deque)


def difference(value: object, back: object) -> Difference:
    """Return where and how ``back`` differs from ``value``, as ``path: reason`` without any payload; None if it does
    not.

    :raises RecursionError: the value contains itself, or is nested too deeply
    """
    found = Comparison(stand_ins=True).difference(value, back)
    return None if found is None else f"${found}"


def is_same(value: object, back: object) -> bool:
    """Return whether two values are equal and have the same types. Plain JSON does not equal a class here."""
    return kind_of(back) is kind_of(value) and Comparison(stand_ins=False).difference(value, back) is None


def object_difference(value: object, written_and_read: Callable[[object], object]) -> Difference:
    """Return the same for a value without a declared type, which comes back as plain JSON.

    An object with fields may come back as a ``dict``, but must lose nothing that it would keep if it was declared.

    :param written_and_read: what comes back of an object that is declared as of its class
    """
    found = _object_difference(value, written_and_read)
    return None if found is None else f"${found}"


def _object_difference(value: object, written_and_read: Callable[[object], object]) -> Difference:
    kind = kind_of(value)
    if has_fields(kind) or is_model(kind):
        return Comparison(stand_ins=True).difference(value, written_and_read(value))
    items: Iterable[tuple[str, object]] = ()
    if _is_mapping(value):
        items = ((member_path(key), item) for key, item in value.items())
    elif _is_collection(value):
        items = ((f"[{i}]", item) for i, item in enumerate(value))
    for step, item in items:
        if (found := _object_difference(item, written_and_read)) is not None:
            return step + found
    return None


@attrs.frozen
class Comparison:
    """Compares a value with what was read back.

    :ivar stand_ins: whether plain JSON may stand where another type is declared, which is then read from it
    """

    stand_ins: bool

    def difference(self, value: object, back: object) -> Difference:
        kind: object = kind_of(value)
        if value is back or (kind in SCALARS and kind_of(back) is kind and value == back):
            return None
        if value is _ABSENT or back is _ABSENT:
            return ": is not there both before and after it was written"
        return _comparison(kind)(self, value, back)

    # --- scalars ---

    def number(self, value: float, back: object) -> Difference:
        if not _is_a(back, (int, float)) or _is_a(back, Enum):
            return self._stand_in(value, back)
        same = _builtin(value) == _builtin(back) and (self.stand_ins or _is_a(value, kind_of(back)))
        return None if same else _differs(value, back)

    def text(self, value: str, back: object) -> Difference:
        if not _is_a(back, str) or _is_a(back, Enum):
            return self._stand_in(value, back)
        return None if str.__eq__(value, back) else _differs(value, back)

    def _stand_in(self, value: object, back: object) -> Difference:
        return None if self.stand_ins and kind_of(value) in SCALARS else _differs(value, back)

    def decimal(self, value: Decimal, back: object) -> Difference:
        if not _is_a(back, Decimal):
            return _differs(value, back)
        same = str(value) == str(back) if value.is_nan() or back.is_nan() else value == back
        return None if same else _differs(value, back)

    def moment(self, value: datetime | time, back: object) -> Difference:
        if not isinstance(back, (datetime, time)) or isinstance(back, datetime) is not isinstance(value, datetime):
            return _differs(value, back)
        if (value.tzinfo is None) != (back.tzinfo is None):
            return (
                f": a {class_name(value)} whose time zone tells no offset would come back without one. Give it a "
                "timezone with an offset, or none"
            )
        same = value.utcoffset() == back.utcoffset() and _wall_clock(value) == _wall_clock(back)
        return None if same else _differs(value, back)

    def day(self, value: date, back: object) -> Difference:
        same = _is_a(back, date) and not _is_a(back, datetime) and value == back
        return None if same else _differs(value, back)

    def enum(self, value: Enum, back: object) -> Difference:
        if _is_a(back, Enum):
            return None if kind_of(back) is kind_of(value) and back.value == value.value else _differs(value, back)
        if _is_a(value, str):
            return self.text(value, back)
        return self.number(value, back) if _is_a(value, (int, float)) else _differs(value, back)

    # --- containers ---

    def mapping(self, value: Mapping[object, object], back: object) -> Difference:
        if not _is_mapping(back):
            return self._object_in_place_of(value, back)
        if len(back) != len(value):
            return _counts(value, back)
        if _factory(value) is not _factory(back) and _is_a(back, defaultdict):
            return ": a defaultdict would come back with another default_factory. Return a dict of it"
        for key, item in value.items():
            if (found := self.difference(item, back.get(key, _ABSENT))) is not None:
                return member_path(key) + found
        return None

    def _object_in_place_of(self, value: Mapping[object, object], back: object) -> Difference:
        if kind_of(value) is not dict or not self.stand_ins:
            return _differs(value, back)
        if is_plain(value):
            return None
        for key, item in value.items():
            read = getattr(back, key, _ABSENT) if _is_a(key, str) else _ABSENT
            if read is not _ABSENT and (found := self.difference(item, read)) is not None:
                return member_path(key) + found
        return None

    def sequence(self, value: Sequence[object], back: object) -> Difference:
        list_for_another = kind_of(value) is list and self.stand_ins
        if _is_set(back) and list_for_another and is_plain(value):
            return None
        base = next(base for base in _SEQUENCES if isinstance(value, base))
        if not _is_sequence(back, base, *((tuple, deque) if list_for_another else ())):
            return _differs(value, back)
        if is_namedtuple(kind_of(back)) and kind_of(back) is not kind_of(value) and not list_for_another:
            return _differs(value, back)
        if len(back) != len(value):
            return _counts(value, back)
        if base is deque and _maxlen(value) != _maxlen(back):
            return ": a deque would come back without its maxlen. Return a list of it"
        for index, (item, other) in enumerate(zip(value, back, strict=True)):
            if (found := self.difference(item, other)) is not None:
                return f"[{index}]{found}"
        return None

    def set(self, value: AbstractSet[object], back: object) -> Difference:
        if not _is_set(back):
            return _differs(value, back)
        mates = {item: item for item in back}
        if len(mates) != len(value):
            return _counts(value, mates)
        for item in value:
            if (found := self.difference(item, mates.get(item, _ABSENT))) is not None:
                return f"[]{found}"
        return None

    # --- what has fields ---

    def fields(self, value: object, back: object) -> Difference:
        if kind_of(back) is not kind_of(value):
            return _differs(value, back)
        kind: object = kind_of(value)
        names = _field_names(kind)
        for name, given in names.items():
            found = self.difference(getattr(value, name, _ABSENT), getattr(back, name, _ABSENT))
            if found is not None and not given:
                return (
                    f".{name}: __init__ does not take this field (init=False), so it is not written. Let __init__ "
                    "take it, or return something else"
                )
            if found is not None:
                return f".{name}{found}"
        return self._attributes(value, back, names)

    def _attributes(self, value: object, back: object, known: Iterable[str]) -> Difference:
        """Compare the attributes that are not fields. A ``cached_property`` may be missing."""
        kept: JsonObject = getattr(value, "__dict__", {})
        for name in [name for name in kept if name not in known]:
            if _is_a(getattr(kind_of(value), name, None), cached_property):
                continue
            again = getattr(back, name, _ABSENT)
            if again is _ABSENT or (is_plain(kept[name]) and self.difference(kept[name], again) is not None):
                return f".{name}: an attribute that is not a field is not written. Make it a field, or leave it out"
        return None

    def model(self, value: Model, back: Model) -> Difference:
        if type(back) is not type(value):
            return _differs(value, back)
        for name, field in type(value).model_fields.items():
            found = self.difference(getattr(value, name, _ABSENT), getattr(back, name, _ABSENT))
            if found is not None and field.exclude:
                return f".{name}: an excluded field (exclude=True) is not written. Give it another value, or include it"
            if found is not None:
                return f".{name}{found}"
        private = value.__pydantic_private__
        if self.difference(private, back.__pydantic_private__) is not None:
            names = ", ".join(private or ())
            return f": private attributes of a model are not written ({names}). Make them fields, or leave them unset"
        return self.difference(value.__pydantic_extra__, back.__pydantic_extra__)

    # --- anything else ---

    def secret(self, value: Any, back: Any) -> Difference:
        if kind_of(back) is kind_of(value) and value.get_secret_value() == back.get_secret_value():
            return None
        return (
            f": a {class_name(value)} is written as asterisks. Keep the secret elsewhere, or give the field a "
            "serializer that writes it (pydantic's field_serializer) and encrypt what is recorded"
        )

    def other(self, value: object, back: object) -> Difference:
        if kind_of(value).__eq__ is object.__eq__:  # compares identities
            if kind_of(back) is not kind_of(value):
                return _differs(value, back)
            return self.difference(getattr(value, "__dict__", None), getattr(back, "__dict__", None))
        try:
            same = bool(value == back)
        except Exception:  # noqa: BLE001 - a class of somebody's own may raise anything
            same = False
        return None if same else _differs(value, back)


@cache
def _comparison(kind: type[object]) -> Compare:
    """Return the function that compares values of a class. It is chosen once per class."""
    if has_fields(kind):
        return Comparison.fields
    if is_model(kind):
        return Comparison.model
    if hasattr(kind, "get_secret_value"):
        return Comparison.secret
    return next((compare for base, compare in _BY_BASE if issubclass(kind, base)), Comparison.other)


_BY_BASE: tuple[tuple[type[object], Compare], ...] = (
    (Enum, Comparison.enum),
    (str, Comparison.text),
    (int, Comparison.number),
    (float, Comparison.number),
    (Decimal, Comparison.decimal),
    (datetime, Comparison.moment),
    (time, Comparison.moment),
    (date, Comparison.day),
    (Mapping, Comparison.mapping),
    (tuple, Comparison.sequence),
    (list, Comparison.sequence),
    (deque, Comparison.sequence),
    (AbstractSet, Comparison.set),
)


def _is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    return isinstance(value, kind)


# ``isinstance`` would make the types of the items unknown to a type checker.


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object, *kinds: type[object]) -> TypeGuard[Sequence[object]]:
    return isinstance(value, kinds)


def _is_set(value: object) -> TypeGuard[AbstractSet[object]]:
    return isinstance(value, AbstractSet)


def _is_collection(value: object) -> TypeGuard[Collection[object]]:
    return isinstance(value, (list, tuple, deque, AbstractSet))


def _differs(value: object, back: object) -> str:
    if kind_of(value) is kind_of(back):
        return f": a {class_name(value)} would come back with another value"
    return (
        f": a {class_name(value)} would come back as a {class_name(back)}. Declare the type that it is, or a union of "
        "types"
    )


def _factory(value: object) -> object:
    """Return the factory of a ``defaultdict``; None for other values."""
    return class_of(value.default_factory) if isinstance(value, defaultdict) else None


def _maxlen(value: object) -> int | None:
    return value.maxlen if isinstance(value, deque) else None


def _counts(value: Sized, back: Sized) -> str:
    return f": {len(value)} items would come back as {len(back)}"


def _builtin(number: float) -> float:
    return int(number) if _is_a(number, int) else float(number)


def _wall_clock(value: datetime | time) -> datetime | time:
    return value.replace(tzinfo=None, fold=0)


@cache
def _field_names(kind: Any) -> dict[str, bool]:
    """Return the names of the fields, each with whether ``__init__`` takes it."""
    fields: Iterable[Any] = attrs.fields(kind) if attrs.has(kind) else dataclass_fields(kind)
    return {field.name: field.init for field in fields}
