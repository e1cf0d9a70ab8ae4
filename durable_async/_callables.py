"""What can be found out about a callable without calling it.

Pure: nothing here calls the callable, and nothing imports the rest of the package.
"""

import inspect
from collections.abc import Coroutine, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple, Never, TypeGuard, cast

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_NOT_PLAIN = _GENERATOR | inspect.CO_VARARGS


class Target(NamedTuple):
    """The function that a call runs, below partials, bound methods and objects with ``__call__``.

    :ivar callable: the function or class, or an object about which nothing is known
    :ivar bound: how many positional arguments precede those of the call
    :ivar keywords: the keyword arguments that partials have bound
    """

    callable: Any
    bound: int
    keywords: Mapping[str, object]

    def function(self) -> FunctionType | None:
        """Return the Python function; None for a class, a builtin, or a function compiled by another tool."""
        return self.callable if type(self.callable) is FunctionType else None


def target_of(func: object) -> Target:
    """Follow ``func`` down to the function that a call of it runs."""
    bound = 0
    keywords: dict[str, object] = {}
    while True:
        kind = type(func)  # isinstance would believe a mock that says it is what it mocks
        if issubclass(kind, FunctionType | type):
            break
        if issubclass(kind, partial):
            below = cast("partial[Any]", func)
            bound += len(below.args)
            keywords = {**below.keywords, **keywords}
            func = below.func
        elif issubclass(kind, MethodType):
            bound += 1
            func = cast("MethodType", func).__func__
        else:
            call: object = getattr(kind, "__call__", None)  # noqa: B004 - not whether, but what
            if not isinstance(call, FunctionType):
                break
            bound += 1
            func = call
    return Target(func, bound, keywords)


def described_by(func: object) -> Target:
    """Follow decorators too: return the function whose parameters ``func`` claims to have."""
    target = target_of(func)
    while (wrapped := getattr(target.callable, "__wrapped__", None)) is not None:
        below = target_of(wrapped)
        target = Target(below.callable, target.bound + below.bound, {**below.keywords, **target.keywords})
    return target


def accepts_plainly(func: object, count: int) -> bool:
    """Return True if ``func`` is certainly a function of ``count`` parameters and not a generator function; False means
    that a closer look is needed."""
    if type(func) is not FunctionType:
        return False
    code = func.__code__
    return code.co_argcount == count and not code.co_kwonlyargcount and not code.co_flags & _NOT_PLAIN


def why_not_called(func: object, count: int) -> str | None:
    """Return why a call of ``func`` with ``count`` positional arguments would fail before its body begins.

    :return: what to say after the function's name, such as ``takes 1 argument, and 2 are given``; None if the call
        fits, or nothing is known about the parameters
    """
    target = target_of(func)
    function = target.function()
    if function is None:
        return _why_not_bound(func, count)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    given = target.bound + count
    takes_any = code.co_flags & inspect.CO_VARARGS
    twice = [name for name in names[:given] if name in target.keywords]
    if twice:
        return f"gets {twice[0]!r} twice: as a positional argument, and as a keyword of functools.partial"
    if given > len(names) and not takes_any:
        return f"takes {_arguments(len(names) - target.bound)}, and {_are_given(count)}"
    missing = _missing(function, target.keywords, given)
    positional = [name for name in missing if name in names]
    if positional:
        least = len(names) - target.bound - len(function.__defaults__ or ())
        return f"takes {_arguments(max(least, count + len(positional)))}, and {_are_given(count)}"
    return f"needs the keyword argument {missing[0]!r}: bind it with functools.partial" if missing else None


def parameters_of(func: object) -> list[str]:
    """Return the names of the positional parameters that a call of ``func`` fills, as far as they are known."""
    target = described_by(func)
    code = getattr(target.callable, "__code__", None)
    if not isinstance(code, CodeType):
        return []
    names = code.co_varnames[: code.co_argcount]
    return [name for name in names[target.bound :] if name not in target.keywords]


def takes_keyword(func: object, name: str) -> bool:
    """Return whether ``func`` has a parameter of this name, as far as is known."""
    target = described_by(func)
    code = getattr(target.callable, "__code__", None)
    if not isinstance(code, CodeType):
        return True
    names = code.co_varnames[target.bound : code.co_argcount + code.co_kwonlyargcount]
    return name in names or bool(code.co_flags & inspect.CO_VARKEYWORDS)


def is_coroutine_function(func: object) -> bool:
    """Return whether a call of ``func`` only makes a coroutine."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def is_generator_function(func: object) -> bool:
    """Return whether the function contains ``yield``, so that a call runs nothing and returns no value."""
    function = target_of(func).function()
    return function is not None and bool(function.__code__.co_flags & _GENERATOR)


def is_coroutine(value: object) -> TypeGuard[Coroutine[object, Never, object]]:
    """Return whether ``value`` is what a coroutine function returns."""
    return isinstance(value, Coroutine)


def name_of_callable(func: object) -> str:
    """Return the name of a function for a message."""
    name: object = getattr(target_of(func).callable, "__name__", None)
    if name == "__call__":
        name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def _why_not_bound(func: Any, count: int) -> str | None:
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):  # a builtin without one
        return None
    try:
        signature.bind(*range(count))
    except TypeError as error:
        return f"cannot be called with {_arguments(count)}: {error}"
    return None


def _missing(function: FunctionType, keywords: Mapping[str, object], given: int) -> list[str]:
    code = function.__code__
    required = code.co_varnames[given : max(given, code.co_argcount - len(function.__defaults__ or ()))]
    only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__kwdefaults__ or {}
    required += tuple(name for name in only if name not in defaults)
    return [name for name in required if name not in keywords]


def _arguments(count: int) -> str:
    return "no argument" if count <= 0 else f"{count} argument{'' if count == 1 else 's'}"


def _are_given(count: int) -> str:
    return f"{count or 'none'} {'is' if count == 1 else 'are'} given"
