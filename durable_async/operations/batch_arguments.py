"""What a batch is given, looked at before it takes an id, and the type of what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from durable_async.arguments import check_context_function, checked_name
from durable_async.batch_config import BatchConfig
from durable_async.batch_result import BatchResult
from durable_async.callables import is_coroutine
from durable_async.serializers import NO_TYPE, return_type

T = TypeVar("T")
ContextT = TypeVar("ContextT")

NamedBranch: TypeAlias = tuple[str | None, Callable[[ContextT], Awaitable[T]]]


def named_branches(
    branches: Iterable[NamedBranch[ContextT, T] | Callable[[ContextT], Awaitable[T]]], call: str
) -> list[NamedBranch[ContextT, T]]:
    """:raises TypeError: one of the branches is no coroutine function of a context"""
    if callable(branches) or is_coroutine(branches):
        raise TypeError(f"{call} takes a list of functions: {call}([first, second])")
    named: list[NamedBranch[ContextT, T]] = []
    for index, branch in enumerate(branches):
        if not callable(branch) and type(branch) is not tuple:
            check_context_function(branch, ("ctx",), call)
        name, func = (f"parallel-branch-{index}", branch) if callable(branch) else branch
        check_context_function(func, ("ctx",), call)
        named.append((checked_name(name), func))
    return named


def check_enough(config: BatchConfig, count: int) -> None:
    """Before an id is taken."""
    least = config.completion.min_successful
    if least is not None and least > count:
        raise ValueError(f"min_successful is {least}, and there are {count} items")


def common_type(named: Sequence[NamedBranch[Any, Any]]) -> Any:
    """The type of a batch's result, if all of its branches return the same."""
    types = [return_type(func) for _, func in named]
    return batch_type(types[0] if types and all(each == types[0] for each in types) else NO_TYPE)


def batch_type(item_type: Any) -> Any:
    """What a serializer of the whole batch is to read its text as."""
    result: Any = BatchResult
    return result if item_type is NO_TYPE else result[item_type]
