"""Batches: one function over many items, branches beside each other, the first of several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Self, TypeAlias, TypeVar

from durable_async.arguments import check_config, check_context_function
from durable_async.batch_config import BatchConfig, BatchProgress, CompletionConfig, MapConfig, ParallelConfig
from durable_async.batch_result import BatchResult, BatchStatus
from durable_async.callables import is_coroutine
from durable_async.context.contexts import Contexts
from durable_async.context.handle import checked_name, described, name_of
from durable_async.engine.call import Call
from durable_async.operations.batch import run_batch
from durable_async.operations.batch_contexts import Items
from durable_async.serializers import NO_TYPE, SerializerContext, return_type
from durable_async.wire.operations import OperationType, SubType

T = TypeVar("T")
ItemT = TypeVar("ItemT")
ContextT = TypeVar("ContextT")

BranchLike: TypeAlias = Callable[[ContextT], Awaitable[T]] | tuple[str, Callable[[ContextT], Awaitable[T]]]
"""``branch(ctx)``, or its name and that."""

NamedBranch: TypeAlias = tuple[str | None, Callable[[ContextT], Awaitable[T]]]

_DEFAULT_MAP = MapConfig()
_DEFAULT_PARALLEL = ParallelConfig()


class Batches(Contexts):
    def map(
        self,
        func: Callable[[Self, ItemT], Awaitable[T]],
        items: Iterable[ItemT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: MapConfig | None = None,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, BatchResult[T]]:
        """Run ``func(ctx, item)`` for each item, as a child context of its own each.

        Items are started in order; ``config`` says how many may be in flight, and when the batch ends early. It does
        with the first failure, unless told otherwise. What then still runs is cancelled and can write no more. Once a
        batch has ended, a replay enters none of its items again.

        The failure of an item raises nothing here: :meth:`~durable_async.BatchResult.results` of the batch raises it,
        and a batch that ends as failed is logged as a warning. ``name``, ``key`` and ``returns``, the type of one
        item's result, are those of :meth:`step`.

        :param items: read at once, in an order that is the same on every replay
        :raises ChildContextError: what belongs to the batch itself failed: its custom completion, serializer, summary
        :raises TypeError: ``func`` is no coroutine function of ``(ctx, item)``, or ``config`` is no MapConfig
        :raises ValueError: fewer items are given than have to succeed
        """
        check_context_function(func, ("ctx", "item"), "ctx.map")
        config = check_config(config, _DEFAULT_MAP)
        given = tuple(items)
        _check(config, len(given))
        names: list[str | None] | None = None
        if config.item_namer is not None:
            names = [checked_name(config.item_namer(item, index)) for index, item in enumerate(given)]
        item_type = return_type(func) if returns is NO_TYPE else returns
        contexts = Items(
            len(given),
            SubType.MAP_ITERATION,
            body=lambda index: func(self, given[index]),
            name=lambda index: f"map-item-{index}" if names is None else names[index],
            type=lambda _: item_type,
        )
        call = self._call(OperationType.CONTEXT, SubType.MAP, name_of(name, func), key)
        call.coroutine = run_batch(call, contexts, config, described(call, None, _result_type(item_type)))
        return call.coroutine

    def parallel(
        self,
        branches: Iterable[BranchLike[Self, T]],
        *,
        name: str | None = None,
        key: str | None = None,
        config: ParallelConfig | None = None,
    ) -> Coroutine[Any, Any, BatchResult[T]]:
        """Run each ``branch(ctx)``, as a child context of its own. The rest is as with :meth:`map`.

        :param branches: functions, or pairs of a name for the history and a function
        :raises ChildContextError: what belongs to the batch itself failed: its custom completion, serializer, summary
        :raises TypeError: a branch is no coroutine function of ``(ctx)``, or ``config`` is no ParallelConfig
        :raises ValueError: fewer branches are given than have to succeed
        """
        config = check_config(config, _DEFAULT_PARALLEL)
        named = _named(branches, "ctx.parallel")
        _check(config, len(named))
        call = self._call(OperationType.CONTEXT, SubType.PARALLEL, checked_name(name), key)
        call.coroutine = run_batch(call, self._branches(named), config, described(call, None, _common_type(named)))
        return call.coroutine

    def race(
        self, *branches: BranchLike[Self, T], name: str | None = None, key: str | None = None
    ) -> Coroutine[Any, Any, T]:
        """Run each ``branch(ctx)`` as :meth:`parallel` does, until the first has ended, well or not.

        The others are cancelled and can write no more. A replay has the same winner.

        :return: what the first one returned
        :raises ChildContextError: the first one failed
        :raises TypeError: a branch is no coroutine function of ``(ctx)``
        :raises ValueError: there are no branches
        """
        if not branches:
            raise ValueError("a race needs branches")
        named = _named(branches, "ctx.race")
        call = self._call(OperationType.CONTEXT, SubType.PARALLEL, checked_name(name), key)
        call.coroutine = _first(call, self._branches(named), described(call, None, _common_type(named)))
        return call.coroutine

    def _branches(self, named: Sequence[NamedBranch[Self, T]]) -> Items:
        return Items(
            len(named),
            SubType.PARALLEL_BRANCH,
            body=lambda index: named[index][1](self),
            name=lambda index: named[index][0],
            type=lambda index: return_type(named[index][1]),
        )


def _first_to_end(progress: BatchProgress) -> BatchStatus | None:
    return BatchStatus.SUCCEEDED if progress.completed else None


_RACE = ParallelConfig(completion=CompletionConfig(custom=_first_to_end))


async def _first(call: Call, branches: Items, described: SerializerContext) -> Any:
    result = await run_batch(call, branches, _RACE, described)
    result.throw_if_error()
    return result.results()[0]


def _named(branches: Iterable[BranchLike[ContextT, T]], call: str) -> list[NamedBranch[ContextT, T]]:
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


def _check(config: BatchConfig, count: int) -> None:
    """Before an id is taken."""
    least = config.completion.min_successful
    if least is not None and least > count:
        raise ValueError(f"min_successful is {least}, and there are {count} items")


def _common_type(named: Sequence[NamedBranch[Any, Any]]) -> Any:
    """The type of a batch's result, if all of its branches return the same."""
    types = [return_type(func) for _, func in named]
    return _result_type(types[0] if types and all(each == types[0] for each in types) else NO_TYPE)


def _result_type(item_type: Any) -> Any:
    """What a serializer of the whole batch is to read its text as."""
    result: Any = BatchResult
    return result if item_type is NO_TYPE else result[item_type]
