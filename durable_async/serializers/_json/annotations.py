"""The types in a function's annotations, as which its result and its event are read."""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Never, NoReturn, TypeVar, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from durable_async._callables import described_by, is_coroutine_function, parameters_of, target_of
from durable_async.serializers.base import NO_TYPE

logger: logging.Logger = logging.getLogger("durable_async")

_known: WeakKeyDictionary[object, dict[str, object]] = WeakKeyDictionary()
_returned: WeakKeyDictionary[types.FunctionType, object] = WeakKeyDictionary()
_reported: set[tuple[str, int, str]] = set()


def return_type(func: Callable[..., object]) -> object:
    """Return the type of the result of ``func``; of an awaitable, the type of what it gives.

    :param func: a function, sync or async, a method, a ``partial``, a class, or an object that can be called
    :return: :data:`~durable_async.serializers.NO_TYPE` if it is not annotated, annotated as ``Any``, ``object`` or a
        type variable, or with a name that cannot be found, which is logged once
    """
    if type(func) is types.FunctionType:
        if not func.__annotations__:
            return NO_TYPE
        if (known := _returned.get(func)) is not None:
            return known
    function = target_of(func).callable
    if isinstance(function, type):
        return function
    returned = _annotation(function, "return")
    if is_awaitable_type(returned) and not is_coroutine_function(function):
        arguments = get_args(returned)
        returned = _said(arguments[-1]) if arguments else NO_TYPE
    if type(func) is types.FunctionType:
        _returned[func] = returned
    return returned


def returns_awaitable(func: Callable[..., object]) -> bool:
    """Return whether ``func`` is annotated to return an awaitable, such as a coroutine or a future."""
    function = target_of(func).function()
    return function is not None and is_awaitable_type(_annotation(function, "return"))


def parameter_type(func: Callable[..., object]) -> object:
    """Return the type of the first parameter that a call of ``func`` fills, under the same rules."""
    names = parameters_of(func)
    return _annotation(_annotated(func), names[0]) if names else NO_TYPE


def resolve_locals(func: Callable[..., object], namespace: Mapping[str, object]) -> None:
    """Find the annotations of ``func`` that only the code which defines it can find: classes of a function's body.

    A name that is not found here is looked up again when it is needed, since a module may define it later.
    """
    function = _annotated(func)
    for name in [*parameters_of(func)[:1], "return"]:
        _annotation(function, name, namespace)


def _annotated(func: Callable[..., object]) -> object:
    """Return the function that has the annotations: the decorated one, if the decorator did not copy them."""
    function = target_of(func).callable
    return function if getattr(function, "__annotations__", None) else described_by(func).callable


def is_awaitable_type(declared: object) -> bool:
    origin = get_origin(declared) or declared
    return isinstance(origin, type) and issubclass(origin, Awaitable)


def _annotation(function: object, name: str, namespace: Mapping[str, object] | None = None) -> object:
    try:
        annotations: dict[str, object] = getattr(function, "__annotations__", None) or {}
    except NameError as error:  # annotations are evaluated late from Python 3.14 on
        if namespace is None:
            _report(function, name, error)
        return NO_TYPE
    if name not in annotations:
        return NO_TYPE
    try:
        known = _known.setdefault(function, {})
    except TypeError:  # cannot be referenced weakly
        known = {}
    if name not in known:
        try:
            known[name] = _said(_resolved(function, annotations[name], namespace or {}))
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            if namespace is not None:
                return NO_TYPE
            known[name] = NO_TYPE
            _report(function, name, error)
    return known[name]


def _resolved(function: Any, declared: object, namespace: Mapping[str, object]) -> object:
    """Evaluate one annotation alone: other annotations may use names that are imported for type checkers only."""
    holder = types.SimpleNamespace(__annotations__={"it": declared})
    bottom = inspect.unwrap(function)
    names = {**namespace, **_enclosed(bottom)}
    return get_type_hints(holder, getattr(bottom, "__globals__", {}), names)["it"]


def _enclosed(function: object) -> dict[str, object]:
    """Return the names of enclosing functions that the body of ``function`` uses, such as a local class."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    enclosed: dict[str, object] = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            enclosed[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return enclosed


def _report(function: Any, name: str, error: Exception) -> None:
    """Log a warning, once for each function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    file, line = getattr(code, "co_filename", "?"), getattr(code, "co_firstlineno", 0)
    if (file, line, name) in _reported:
        return
    _reported.add((file, line, name))
    what = "the return annotation" if name == "return" else f"the annotation of {name!r}"
    logger.warning(
        "%s of %s (%s:%d) cannot be resolved: %s. The value is read as plain JSON. Define or import the type at "
        "module level, and not under TYPE_CHECKING",
        what,
        getattr(function, "__qualname__", function),
        file,
        line,
        error,
    )


def _said(declared: Any) -> object:
    return NO_TYPE if declared in (Any, object, Never, NoReturn) or isinstance(declared, TypeVar) else declared
