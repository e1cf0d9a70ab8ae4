"""The types that a function's annotations state: what its result and its event are to be read as."""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Never, NoReturn, TypeVar, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from durable_async.serializers.base import NO_TYPE

_known: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def return_type(func: Callable[..., Any]) -> Any:
    """The type of what ``func`` returns, awaited if need be.

    :param func: a function, sync or async, a method, a ``partial``, a class, or an object that can be called
    :return: :data:`~durable_async.serializers.NO_TYPE` if it is not annotated, annotated as ``Any``, ``object`` or a
        type variable, or with a name that cannot be found
    """
    if type(func) is types.FunctionType and not func.__annotations__:
        return NO_TYPE
    function = _function(func)
    if isinstance(function, type):
        return function
    declared = _annotation(function, "return")
    if get_origin(declared) in (Awaitable, Coroutine) and not inspect.iscoroutinefunction(function):
        return _said(get_args(declared)[-1])
    return declared


def parameter_type(func: Callable[..., Any]) -> Any:
    """The type of the first argument of ``func``, under the same rules."""
    function = _function(func)
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code.co_argcount == 0:
        return NO_TYPE
    skipped = 1 if _is_bound(func) else 0
    return _annotation(function, code.co_varnames[skipped]) if code.co_argcount > skipped else NO_TYPE


def _function(func: Any) -> Any:
    """What carries the annotations; something that outlives the call, unlike a bound method or a ``partial``."""
    while isinstance(func, partial):
        func = func.func
    if isinstance(func, types.MethodType):
        return func.__func__
    if isinstance(func, type) or hasattr(func, "__code__"):
        return func
    call: Any = getattr(func.__class__, "__call__", None)  # noqa: B004 - not whether, but what
    return call if hasattr(call, "__code__") else func


def _is_bound(func: Any) -> bool:
    while isinstance(func, partial):
        func = func.func
    return not hasattr(func, "__code__") or isinstance(func, types.MethodType)


def _annotation(function: Any, name: str) -> Any:
    try:
        annotations: dict[str, Any] = getattr(function, "__annotations__", None) or {}
    except NameError:  # annotations are evaluated late from Python 3.14 on
        return NO_TYPE
    if name not in annotations:
        return NO_TYPE
    try:
        known = _known.setdefault(function, {})
    except TypeError:  # cannot be referenced weakly
        known = {}
    if name not in known:
        known[name] = _said(_resolved(function, annotations[name]))
    return known[name]


def _resolved(function: Any, declared: Any) -> Any:
    """Evaluate one annotation alone: others may name what is imported for type checkers only."""
    holder = types.SimpleNamespace(__annotations__={"it": declared})
    try:
        return get_type_hints(holder, getattr(inspect.unwrap(function), "__globals__", {}))["it"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return NO_TYPE


def _said(declared: Any) -> Any:
    return NO_TYPE if declared in (Any, object, Never, NoReturn) or isinstance(declared, TypeVar) else declared
