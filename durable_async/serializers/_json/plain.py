"""Types whose values are JSON already, such as ``dict[str, Any]``: neither cattrs nor a conversion is needed."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Final, NewType, Union, cast, get_args, get_origin

_PLAIN: frozenset[object] = frozenset((None, type(None), bool, int, str, list, dict, Any, object))


def comes_back_plain(declared: object) -> bool:
    """Return whether plain JSON of this type is written unchanged and read back unchanged.

    False for ``float``: the value may be an int with more digits than a float can hold.
    """
    try:
        return _comes_back_plain(declared)
    except TypeError:  # not hashable, such as Annotated[int, []]
        return False


@cache
def _comes_back_plain(declared: object) -> bool:
    declared = bare(declared)
    if declared in _PLAIN:
        return True
    arguments = get_args(declared)
    if is_union(declared):
        arguments = tuple(each for each in arguments if each is not type(None))
        return len(arguments) == 1 and _comes_back_plain(arguments[0])
    cls = class_of(declared)
    if cls is dict:
        return bare(arguments[0]) is str and _comes_back_plain(arguments[1])
    return cls is list and _comes_back_plain(arguments[0])


def fits(tree: object, declared: object) -> bool:
    """Return whether a tree is of a type that comes back plain, so that reading it would change nothing.

    False does not mean that it cannot be read: the number ``1.0`` is read as an ``int``, for example.
    """
    declared = bare(declared)
    if declared is type(tree) or declared is Any or declared is object:
        return True
    if tree is None:
        return declared is None or is_union(declared)
    arguments = get_args(declared)
    if is_union(declared):
        return fits(tree, next(each for each in arguments if each is not type(None)))
    if class_of(declared) is not type(tree):
        return False
    items = cast("dict[str, object]", tree).values() if isinstance(tree, dict) else cast("list[object]", tree)
    each = arguments[-1]
    return each is Any or all(type(item) is each or fits(item, each) for item in items)


def bare(declared: object) -> object:
    """Return a type without ``Annotated``, ``Final``, ``NewType`` and alias around it."""
    while True:
        if get_origin(declared) in (Annotated, Final):
            declared = get_args(declared)[0]
        elif isinstance(declared, NewType):
            declared = declared.__supertype__
        elif type(declared).__name__ == "TypeAliasType":
            declared = getattr(declared, "__value__")  # noqa: B009 - of Python 3.12
        else:
            return declared


def class_of(declared: object) -> Any:
    """Return the class of a type: ``list`` for ``list[int]``, and the type itself if it has no arguments."""
    return get_origin(declared) or declared


def is_union(declared: object) -> bool:
    return get_origin(declared) in (Union, types.UnionType)
