"""Hooks for unions: a value comes back as the same member of the union, or is refused when it is written.

A tree is read by the first member that accepts it. The members are tried in the order of their names, with str last.
The order of the annotation does not matter, because ``A | B`` equals ``B | A``, and all processes must read alike.

This is enough for most unions, whose members differ in kind or in their fields. If a tree would be read as another
value, as a ``date`` in ``date | datetime`` may, it is written with the name of the member: ``{"$type": "datetime",
"$value": ...}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Literal, get_args, get_origin

import attrs
from cattrs import Converter

from durable_async.serializers._json.equality import is_same
from durable_async.serializers._json.hooks import Read, UnexpectedError, Write, misfit
from durable_async.serializers._json.kinds import kinds
from durable_async.serializers._json.plain import bare, class_of, is_union
from durable_async.serializers._json.tree import Kinds, flaw, is_object, kind_of, type_name

_TAG = "$type"
_VALUE = "$value"


def register_unions(converter: Converter) -> None:
    """Return whether the union has more than one type besides None. Otherwise cattrs reads it."""
    converter.register_unstructure_hook_factory(_is_choice, _write_choice)
    converter.register_structure_hook_factory(_is_choice, _read_choice)


def _is_choice(declared: object) -> bool:
    return is_union(declared) and len([member for member in get_args(declared) if member is not NoneType]) > 1


def _write_choice(declared: object, converter: Converter) -> Write:
    return _Union.of(converter, declared).write


def _read_choice(declared: object, converter: Converter) -> Read:
    return _Union.of(converter, declared).read


@attrs.frozen
class _Member:
    declared: object
    kinds: Kinds
    read: Read
    write: Write

    def holds(self, value: object) -> bool:
        """Return whether the value may be of this member, judged by its class alone."""
        declared = bare(self.declared)
        if get_origin(declared) is Literal:
            return value in get_args(declared)
        cls = class_of(declared)
        return not isinstance(cls, type) or isinstance(value, cls) or (cls is float and type(value) is int)


@attrs.frozen
class _Union:
    converter: Converter
    declared: object
    members: tuple[_Member, ...]
    ambiguous: bool

    @classmethod
    def of(cls, converter: Converter, declared: object) -> _Union:
        members = tuple(
            _Member(each, kinds(each), converter.get_structure_hook(each), converter.get_unstructure_hook(each))
            for each in sorted(get_args(declared), key=_rank)
        )
        taken = [kind for member in members for kind in member.kinds]
        return cls(converter, declared, members, ambiguous=len(taken) > len(set(taken)))

    def read(self, tree: object, _: object) -> object:
        if is_object(tree) and tree.keys() == {_TAG, _VALUE}:
            for member in self.members:
                if type_name(member.declared) == tree[_TAG]:
                    return member.read(tree[_VALUE], member.declared)
        errors: list[Exception] = []
        for member in self._takers(kind_of(tree)):
            try:
                return member.read(tree, member.declared)
            except RecursionError:
                raise
            except Exception as error:  # noqa: BLE001 - a type's own hooks may raise anything; the next may take it
                errors.append(error)
        raise errors[0] if len(errors) == 1 else UnexpectedError(self.declared, tree)

    def _takers(self, kind: type[object]) -> Iterator[_Member]:
        exact = [member for member in self.members if kind in member.kinds]
        yield from sorted(exact, key=lambda member: bare(member.declared) is not kind) if kind is not str else exact
        if kind in (
            int,
            float,
            bool,
        ):  # a number without a fraction may be an int or a float in JSON, and a bool is an int
            yield from (member for member in self.members if kind not in member.kinds and member.kinds & {int, float})

    def write(self, value: object) -> object:
        holders = sorted(
            (member for member in self.members if member.holds(value)),
            key=lambda member: class_of(bare(member.declared)) is not type(value),
        )
        if not holders:
            return misfit(self.converter, value, self.declared)
        if not self.ambiguous:
            return holders[0].write(value)
        trees = [(member, member.write(value)) for member in holders]
        for _, tree in trees:
            if self._comes_back(tree, value):
                return tree
        for member, tree in trees:
            tagged = {_TAG: type_name(member.declared), _VALUE: tree}
            if self._comes_back(tagged, value):
                return tagged
        return trees[0][1]  # not comparable, or to be refused by the check of the tree

    def _comes_back(self, tree: object, value: object) -> bool:
        if flaw(tree) is not None:
            return False
        try:
            back = self.read(tree, self.declared)
            return is_same(value, back)
        except Exception:  # noqa: BLE001 - as above; then it does not
            return False


def _rank(declared: object) -> tuple[bool, str]:
    return bare(declared) is str, type_name(declared)
