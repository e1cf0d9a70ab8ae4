"""Checks of the arguments of operations. Each refusal says what to write instead.

Every check raises before an operation takes its identity, so a refused call records nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any, Never, TypeVar

import attrs

from durable_async._callables import (
    accepts_plainly,
    is_coroutine,
    is_coroutine_function,
    is_generator_function,
    name_of_callable,
    parameters_of,
    takes_keyword,
    target_of,
    why_not_called,
)
from durable_async._wire.limits import NAME_LENGTH
from durable_async.serializers._json.annotations import returns_awaitable

T = TypeVar("T")
ConfigT = TypeVar("ConfigT")

_CONTEXT = "DurableContext"
_PACKAGE = str(Path(__file__).parent)


def check_function(func: object, count: int, call: str) -> None:
    """Refuse what cannot be called with ``count`` positional arguments and return a value.

    :param call: names the operation, such as ``ctx.step``
    :raises TypeError: with a sentence that shows what to write
    """
    if not callable(func):
        raise TypeError(_not_a_function(func, count, call))
    _refuse_own(func, call)
    name = name_of_callable(func)
    if is_generator_function(func):
        raise TypeError(
            f"{call} cannot run {name}, which is a generator function: it has 'yield' in it. Collect the values in a "
            "list and return that"
        )
    if (reason := why_not_called(func, count)) is not None:
        raise TypeError(f"{call} cannot call {name}: it {reason}")


def check_context_function(func: Any, parameters: tuple[str, ...], call: str) -> None:
    """Refuse what is not a coroutine function of ``parameters``, one of which is the context.

    A lambda is accepted without a check, and so is a function that is annotated to return an awaitable.

    :raises TypeError: with a sentence that shows what to write
    """
    if not (accepts_plainly(func, len(parameters)) and func.__code__.co_flags & inspect.CO_COROUTINE):
        if not callable(func):
            raise TypeError(_not_a_context_function(func, parameters, call))
        _refuse_own(func, call)
        shown = f"async def {name_of_callable(func)}({', '.join(parameters)})"
        if is_generator_function(func):
            raise TypeError(
                f"{call} got {name_of_callable(func)}, which is a generator function: it has 'yield' in it. Write "
                f"'{shown}' and return one value"
            )
        if (reason := why_not_called(func, len(parameters))) is not None:
            raise TypeError(_wrong_parameters(func, reason, call, shown))
        if not _makes_awaitable(func):
            raise TypeError(f"{call} got {name_of_callable(func)}, which is not a coroutine function: write '{shown}'")
    _check_order(func, parameters, call)


def context_parameters(args: tuple[object, ...]) -> tuple[str, ...]:
    """Return the names of the parameters of a function that gets a context and ``args``, for an error message."""
    return ("ctx", "value") if len(args) == 1 else ("ctx", *(f"value{number}" for number in range(1, len(args) + 1)))


def check_function_name(given: object) -> None:
    """Refuse what is not the name or ARN of a function.

    :raises TypeError: it is not a text
    :raises ValueError: it is empty
    """
    if not isinstance(given, str):
        name = name_of_callable(given) if callable(given) else "ship"
        raise TypeError(
            f"function_name must be the name or ARN of a function, not {given!r}: write "
            f"ctx.invoke('{name}:$LATEST', payload), without a qualifier for a function that is not durable"
        )
    if not given:
        raise ValueError("function_name must not be empty")


def check_plain_function(func: object, call: str) -> None:
    """Refuse what is not a function of ``(event, context)``, or looks like a workflow that was not decorated.

    :raises TypeError: with a sentence that shows what to write
    """
    check_function(func, 2, call)
    annotations: dict[str, object] = getattr(target_of(func).callable, "__annotations__", None) or {}
    if any(_is_context("", annotations.get(name, "")) for name in parameters_of(func)):
        raise TypeError(
            f"{call} got {name_of_callable(func)}, which takes a {_CONTEXT} and is not a durable handler: put "
            "@durable_execution above it"
        )


def check_decider(func: object, parameters: tuple[str, ...], what: str) -> None:
    """Refuse a function that must return at once and cannot.

    :param what: names it, such as ``item_namer``
    :raises TypeError: it is a coroutine function, or cannot be called with ``parameters``
    """
    if is_coroutine_function(func):
        raise TypeError(f"{what} must be a plain function, not 'async def': it has to return at once")
    if (reason := why_not_called(func, len(parameters))) is not None:
        name = name_of_callable(func)
        raise TypeError(f"{what} must be a function of ({', '.join(parameters)}), and {name} {reason}")


def check_config(config: ConfigT | None, default: ConfigT, hint: str = "") -> ConfigT:
    """Return the config, or ``default`` for None.

    :param hint: what to add for a retry strategy that was given in place of a config
    :raises TypeError: it is an object of another class
    """
    if config is None:
        return default
    if isinstance(config, type(default)):
        return config
    wanted = type(default).__name__
    if isinstance(config, type):
        raise TypeError(f"config must be a {wanted}, not the class {config.__name__}: call it")
    is_strategy = hasattr(config, "should_retry")
    message = f"config must be a {wanted}, not a {'RetryStrategy' if is_strategy else type(config).__name__}"
    raise TypeError(f"{message}: write {hint}" if hint and (is_strategy or callable(config)) else message)


def check_keywords(keywords: Mapping[str, object], func: object, call: str, config: type[attrs.AttrsInstance]) -> None:
    """Refuse keyword arguments that belong into the config, or that are meant for ``func``.

    :param func: None if the call has none
    """
    if not keywords:
        return
    name = next(iter(keywords))
    options = [field.name for field in attrs.fields(config)]
    hints: list[str] = []
    if name in options:
        hints.append(f"for the option write config={config.__name__}({name}=...)")
    if func is not None and takes_keyword(func, name):
        bound = f"{call}(partial({name_of_callable(func)}, {name}=...))"
        hints.append(f"to pass it to the function use functools.partial: {bound}")
    if not hints:
        hints.append(f"config={config.__name__}(...) takes {', '.join(options)}")
    raise TypeError(f"{call} takes no keyword argument {name!r}; {', and '.join(hints)}")


def name_of(name: str | None, func: Callable[..., object]) -> str | None:
    """Return ``name``, or for None what the service accepts of the function's name."""
    if name is not None:
        return checked_name(name)
    while isinstance(func, partial):
        func = func.func
    own: object = getattr(func, "__name__", None)
    if not isinstance(own, str) or own == "<lambda>":
        return None
    return (own if own.isascii() else own.encode("ascii", "backslashreplace").decode())[:NAME_LENGTH]


def checked_name(name: str | None) -> str | None:
    """Return ``name`` if it is valid.

    :raises TypeError: it is not a text
    :raises ValueError: the service would refuse the name
    """
    if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"name must be a str, not {name!r}: write name=str(...)")
    if name and not (len(name) <= NAME_LENGTH and name.isascii() and name.isprintable()):
        raise ValueError(
            f"the name {name!r} of an operation is not printable ASCII of at most {NAME_LENGTH} characters, which is "
            "all that the durable service accepts"
        )
    return name or None


def awaitable(given: Awaitable[T], what: str) -> Awaitable[T]:
    """Return ``given``, which the call of a coroutine function returned.

    :param what: names the function in the error
    :raises TypeError: it cannot be awaited, so the function was not a coroutine function
    """
    if isinstance(given, Awaitable):  # pyright: ignore[reportUnnecessaryIsInstance]
        return given
    raise TypeError(
        f"{what} returned an object of type {type(given).__name__} when it was called, and not a coroutine: write "
        "'async def', and use 'await' inside it"
    )


def _refuse_own(func: object, call: str) -> None:
    """Refuse a durable handler and an operation, which are no functions to run in an operation.

    :raises TypeError: with a sentence that shows what to write
    """
    name = name_of_callable(func)
    if getattr(type(func), "durable", None) is True:
        if call.startswith("@"):
            raise TypeError(f"{call} got {name}, which is a durable handler already: decorate the function once")
        raise TypeError(
            f"{call} got {name}, which is a durable handler. To run it as an execution of its own, call "
            f"ctx.invoke('{name}:$LATEST', event); to run it as a part of this workflow, await "
            f"{name}.workflow(event, ctx)"
        )
    if type(getattr(func, "__self__", None)).__name__ == _CONTEXT:
        raise TypeError(f"{call} got ctx.{name}, which is an operation itself: give {call} the function to run")


def _not_a_function(given: object, count: int, call: str) -> str:
    if is_coroutine(given):
        name, arguments, is_operation = _closed(given)
        if is_operation:
            return f"{call} takes a function, and not the call of another operation: await the operations one by one"
        example = f"{name}(...)" if arguments else f"{name}()"
        apart = f"{name}, ..." if arguments else name
        return f"{call} takes the function and its arguments separately: {call}({apart}), not {call}({example})"
    if isinstance(given, str) and count:
        return f"{call} takes the function first, and the name as name=: {call}(function, ..., name={given[:40]!r})"
    return (
        f"{call} takes a function and its arguments, as in {call}(charge, 1); the first argument is not a function "
        f"but of type {type(given).__name__}. To pass what a function returns, give the function itself, not its call"
    )


def _not_a_context_function(given: object, parameters: tuple[str, ...], call: str) -> str:
    shown = f"async def function({', '.join(parameters)})"
    if is_coroutine(given):
        name, _, is_operation = _closed(given)
        what = "the call of an operation" if is_operation else f"the call {name}(...)"
        others = "".join(f", {each}" for each in parameters[1:])
        return (
            f"{call} takes functions that it calls with a context, not {what}: write '{shown}', or "
            f"'lambda {parameters[0]}{others}: ...'"
        )
    return f"{call} takes a coroutine function, '{shown}', not an object of type {type(given).__name__}"


def _closed(coroutine: Coroutine[object, Never, object]) -> tuple[str, bool, bool]:
    """Close a coroutine that will not be awaited.

    :return: its name, whether its function has parameters, and whether it is an operation of this package
    """
    code = getattr(coroutine, "cr_code", None)
    coroutine.close()
    is_operation = isinstance(code, CodeType) and code.co_filename.startswith(_PACKAGE)
    return getattr(coroutine, "__name__", "function"), bool(code and code.co_argcount), is_operation


def _wrong_parameters(func: object, reason: str, call: str, shown: str) -> str:
    names = parameters_of(func)
    message = f"{call} got {name_of_callable(func)}, which {reason}: write '{shown}'"
    if names[:1] == ["self"]:
        message += ". Pass a bound method: instance.method"
    return message


def _makes_awaitable(func: Callable[..., object]) -> bool:
    function = target_of(func).function()
    if function is None or function.__name__ == "<lambda>" or is_coroutine_function(func):
        return True
    return is_coroutine_function(inspect.unwrap(function)) or returns_awaitable(func)


def _check_order(func: object, parameters: tuple[str, ...], call: str) -> None:
    """Check that the context is the parameter in the place where it is passed, by its annotation or else its name."""
    names = parameters_of(func)
    place = parameters.index("ctx")
    if len(names) <= place or len(parameters) < 2:
        return
    annotations: dict[str, object] = getattr(target_of(func).callable, "__annotations__", None) or {}
    marked = [_is_context(name, annotations.get(name)) for name in names[: len(parameters)]]
    other = names[place] in annotations or names[place] in ("event", "item")
    if any(marked) and not marked[place] and other:
        shown = f"({', '.join(parameters)})"
        raise TypeError(
            f"{call} calls {name_of_callable(func)}{shown}, and its parameters are ({', '.join(names)}): swap them, so "
            f"that the context is the {'first' if place == 0 else 'second'}"
        )


def _is_context(name: str, annotation: object) -> bool:
    if annotation is None:
        return name in ("ctx", "context")
    named = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return named.rpartition(".")[2] == _CONTEXT
