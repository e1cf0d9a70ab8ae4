"""Hooks for arrays (lists, tuples, sets, named tuples) and for mappings, whose keys may be of any type."""

from __future__ import annotations

import inspect
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, MutableSet
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, TypeGuard, get_args, get_type_hints

import attrs
from cattrs import Converter
from cattrs.errors import IterableValidationError, IterableValidationNote

from durable_async.serializers._json.equality import is_same
from durable_async.serializers._json.hooks import Read, UnexpectedError, Write, misfit
from durable_async.serializers._json.kinds import is_array, is_mapping, is_namedtuple, kinds
from durable_async.serializers._json.plain import class_of
from durable_async.serializers._json.tree import Misfit, class_name, decode, encode, is_object, type_name
from durable_async.serializers._json.tree import is_array as is_list


def register_containers(converter: Converter) -> None:
    converter.register_unstructure_hook_factory(is_array, _write_array)
    converter.register_structure_hook_factory(is_array, _read_array)
    converter.register_unstructure_hook_factory(is_mapping, _write_mapping)
    converter.register_structure_hook_factory(_is_dict, _read_mapping)


# --- arrays ---


@attrs.frozen
class _Items:
    """The types of the items of an array: one for all, or one for each."""

    each: object = None
    fixed: tuple[object, ...] | None = None

    @classmethod
    def of(cls, declared: Any) -> _Items:
        if is_namedtuple(declared):
            hints = get_type_hints(declared, include_extras=True)
            return cls(fixed=tuple(hints.get(field, Any) for field in declared._fields))
        arguments = get_args(declared)
        if not arguments:
            return cls(fixed=()) if declared == tuple[()] else cls(each=Any)
        if issubclass(class_of(declared), tuple) and arguments[-1] is not ...:
            return cls(fixed=arguments)
        return cls(each=arguments[0])


def _write_array(declared: object, converter: Converter) -> Write:
    cls, items = class_of(declared), _Items.of(declared)
    write_each = converter.get_unstructure_hook(items.each)
    writes = None if items.fixed is None else [converter.get_unstructure_hook(item) for item in items.fixed]

    def write(value: object) -> object:
        if not _is_array_of(value, cls):
            return misfit(converter, value, declared)
        if writes is None:
            trees = [write_each(item) for item in value]
            return sorted(trees, key=_order) if isinstance(value, AbstractSet) else trees
        if len(value) != len(writes):
            return Misfit(class_name(value), declared)
        return [write_item(item) for write_item, item in zip(writes, value, strict=True)]

    return write


def _is_array_of(value: object, cls: type[object]) -> TypeGuard[Collection[object]]:
    return isinstance(value, (cls, list, tuple, AbstractSet)) and not isinstance(value, (str, bytes, Mapping))


def _order(tree: object) -> str:
    """Return a key that sorts the items of a set, whose order differs between processes."""
    try:
        return encode(tree)
    except (TypeError, ValueError):  # the check of the tree refuses it and reports its path
        return ""


def _read_array(declared: object, converter: Converter) -> Read:
    cls, items = class_of(declared), _Items.of(declared)
    make = _array_class(cls)
    read_each = converter.get_structure_hook(items.each)
    reads = None if items.fixed is None else [(converter.get_structure_hook(item), item) for item in items.fixed]

    def read(tree: object, _: object) -> object:
        if not is_list(tree):
            raise UnexpectedError(declared, tree)
        if reads is None:
            return make(_read_all(declared, ((i, item, read_each, items.each) for i, item in enumerate(tree))))
        if len(tree) != len(reads):
            raise ValueError(f"expected {len(reads)} items for {type_name(declared)}, found {len(tree)}")
        return make(_read_all(declared, ((i, item, *reads[i]) for i, item in enumerate(tree))))

    return read


def _array_class(cls: Any) -> Callable[[list[object]], object]:
    if is_namedtuple(cls):
        return lambda items: cls(*items)
    make: Callable[[list[object]], object] = cls
    if not inspect.isabstract(cls):
        return make
    if issubclass(cls, AbstractSet):
        return set if issubclass(cls, MutableSet) else frozenset
    return list


def _read_all(declared: Any, items: Iterable[tuple[int | str, object, Read, object]]) -> list[object]:
    values: list[object] = []
    errors: list[Exception] = []
    for index, tree, read, item_type in items:
        try:
            values.append(read(tree, item_type))
        except Exception as error:  # noqa: BLE001 - the hooks of a type may raise anything; here the path is added
            error.add_note(IterableValidationNote(f"at {index!r}", index, item_type))
            errors.append(error)
    if errors:
        message = f"while reading {type_name(declared)}"
        raise IterableValidationError(message, errors, declared)  # pyright: ignore[reportCallIssue]
    return values


# --- mappings ---


def _maps(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_dict(declared: object) -> bool:
    """Return whether a type is a plain mapping. cattrs handles others, such as defaultdict."""
    return is_mapping(declared) and class_of(declared) in (dict, Mapping, MutableMapping, OrderedDict)


def _key_and_value(declared: object) -> tuple[Any, Any]:
    arguments = get_args(declared)
    if issubclass(class_of(declared), Counter):
        return (arguments[0] if arguments else Any), int
    return (arguments[0], arguments[1]) if arguments else (Any, Any)


def _write_mapping(declared: object, converter: Converter) -> Write:
    key_type, value_type = _key_and_value(declared)
    write_key = None if key_type in (Any, str) else _write_key(converter, key_type)
    write_value = converter.get_unstructure_hook(value_type)

    def write(value: object) -> object:
        if not _maps(value):
            return misfit(converter, value, declared)
        if write_key is None:  # the check of the tree then finds a key that is not a str
            return {key: write_value(item) for key, item in value.items()}
        return {write_key(key): write_value(item) for key, item in value.items()}

    return write


def _write_key(converter: Converter, key_type: object) -> Write:
    write, read = converter.get_unstructure_hook(key_type), _read_key(converter, key_type)

    def write_key(key: object) -> object:
        tree = write(key)
        with suppress(Exception):  # the hooks of a type may raise anything; then the key cannot be read back
            text = tree if isinstance(tree, str) else encode(tree)
            if is_same(key, read(text, key_type)):
                return text
        return Misfit(class_name(key), key_type)

    return write_key


def _read_key(converter: Converter, key_type: object) -> Read:
    """Return a function that reads keys. A key that is not a string is written as its JSON text: ``1``, ``true``, ``[1,
    2]``.
    """
    read, taken = converter.get_structure_hook(key_type), kinds(key_type)

    def read_key(text: str, key_type: object) -> object:
        if str not in taken:
            return read(_key_tree(text, key_type), key_type)
        try:
            return read(text, key_type)
        except Exception:
            if len(taken) == 1:
                raise
            return read(_key_tree(text, key_type), key_type)

    return read_key


def _key_tree(text: str, key_type: object) -> object:
    try:
        return decode(text)
    except ValueError:
        raise UnexpectedError(key_type, text) from None


def _read_mapping(declared: object, converter: Converter) -> Read:
    key_type, value_type = _key_and_value(declared)
    read_key = None if key_type in (Any, str) else _read_key(converter, key_type)
    read_value = converter.get_structure_hook(value_type)
    ordered = class_of(declared) is OrderedDict

    def read(tree: object, _: object) -> object:
        if not is_object(tree):
            raise UnexpectedError(declared, tree)
        values = _read_all(declared, ((key, item, read_value, value_type) for key, item in tree.items()))
        if read_key is None:
            return _dict_of(zip(tree, values, strict=True), ordered=ordered)
        keys = _read_all(declared, ((key, key, read_key, key_type) for key in tree))
        return _dict_of(zip(keys, values, strict=True), ordered=ordered)

    return read


def _dict_of(pairs: Iterable[tuple[object, object]], *, ordered: bool) -> dict[object, object]:
    return OrderedDict(pairs) if ordered else dict(pairs)
