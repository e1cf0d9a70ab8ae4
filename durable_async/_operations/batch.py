"""Map and parallel: many bodies, each in a child context of its own, and a completion that ends the batch.

- items are started in order, by the batch's own task; each runs in one task
- the end is decided at the moment when an item ends. From then on nothing in the batch can start or write, and what
  still runs is cancelled. The batch is recorded when that has cleaned up: nothing of it runs beside the following code
- a body in a worker thread cannot be stopped. The batch does not wait for it, and what it returns is dropped
- the decision is final when it is recorded: a replay rebuilds the result and does not apply the completion again
- the failure of an item never fails the batch. An error of a custom completion, a serializer or a summary does
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import copy_context
from typing import Any, Generic, TypeAlias, TypeGuard, TypeVar

from durable_async._arguments import check_context_function, checked_name
from durable_async._callables import is_coroutine
from durable_async._engine.call import Call
from durable_async._engine.task_factory import start_task
from durable_async._operations.batch_contexts import Contexts, Items
from durable_async._operations.batch_record import ResultWriter, read, rebuilt, write_summary
from durable_async._operations.batch_rules import completion_reason
from durable_async._operations.values import recorded, round_trip, written
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    ContextDetails,
    Operation,
    OperationStatus,
)
from durable_async._wire.text import utf8_size
from durable_async._wire.timestamps import end_microseconds
from durable_async.batch_config import BatchConfig, BatchProgress
from durable_async.batch_result import BatchItem, BatchResult, BatchStatus, CompletionReason
from durable_async.errors import ChildContextError, SerializationError
from durable_async.serializers import NO_TYPE, SerializerContext
from durable_async.serializers._json.annotations import return_type

T = TypeVar("T")
ContextT = TypeVar("ContextT")

NamedBranch: TypeAlias = tuple[str | None, Callable[[ContextT], Awaitable[T]]]


def named_branches(
    branches: Iterable[NamedBranch[ContextT, T] | Callable[[ContextT], Awaitable[T]]], call: str
) -> list[NamedBranch[ContextT, T]]:
    """Return the branches with their names.

    :raises TypeError: one of them is not a coroutine function of a context
    """
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
    """Check that the completion can be reached. Call this before an id is claimed.

    :raises ValueError: there are fewer items than have to succeed
    """
    least = config.completion.min_successful
    if least is not None and least > count:
        raise ValueError(f"min_successful is {least}, and there are {count} items")


def common_type(named: Sequence[NamedBranch[ContextT, object]]) -> object:
    """Return the type of a batch's result; it names the items' type if all branches return the same."""
    types = [return_type(func) for _, func in named]
    return batch_type(types[0] if types and all(each == types[0] for each in types) else NO_TYPE)


def batch_type(item_type: object) -> object:
    """Return the type that a serializer of the batch reads its text as."""
    result: Any = BatchResult
    return result if item_type is NO_TYPE else result[item_type]


logger: logging.Logger = logging.getLogger("durable_async")


async def run_batch(call: Call, items: Items[T], config: BatchConfig, described: SerializerContext) -> BatchResult[T]:
    """Run a batch, or read its end.

    :raises ChildContextError: a custom completion, a serializer or a summary failed
    """
    record = await call.read()
    contexts = Contexts(call, items, config)
    if record is not None and record["Status"] in TERMINAL:
        return await _ended(contexts, record, described)
    if record is None:
        call.post(Action.START)
    run = _Run(contexts)
    await run.to_the_end()
    return await _recorded(run, described)


async def _ended(contexts: Contexts[T], record: Operation, described: SerializerContext) -> BatchResult[T]:
    """Return the result of a batch that has ended on record."""
    details: ContextDetails = record.get("ContextDetails") or {}
    text, serializer = details.get("Result") or "", contexts.config.serializer
    if record["Status"] != OperationStatus.SUCCEEDED:
        raise contexts.call.failure(ChildContextError, details.get("Error") or {})
    if details.get("ReplayChildren"):
        result = await rebuilt(contexts, text)
        if serializer is None:
            return result
        text = await written(contexts.call, serializer, result, described)
    elif serializer is None:
        return await read(contexts, text)
    return _checked(await recorded(contexts.call, serializer, text, described), described)


class _Run(Generic[T]):
    """A batch that has not ended yet."""

    def __init__(self, contexts: Contexts[T]) -> None:
        self.contexts = contexts
        self.writer = ResultWriter()
        self._ended: dict[int, BatchItem[T]] = {}
        self._statuses: list[BatchStatus | None] = [None] * contexts.items.count
        self._started = 0
        self._succeeded = 0
        self._reason: CompletionReason | None = None
        self._fault: Exception | None = None  # of the completion
        self._interruption: BaseException | None = None  # says nothing about the batch, but ends more than the batch
        self._changed: asyncio.Future[None] | None = None  # done when more may be started, or the end is decided

    async def to_the_end(self) -> None:
        """Return when the end is decided and nothing runs any more."""
        scope = self.contexts.scope
        self._decide()
        try:
            while not scope.closed:
                await self._take_recorded(self._admit())
                await self._next_start()
        finally:
            await self._clear()
        if self._interruption is not None:
            raise self._interruption

    async def _next_start(self) -> None:
        """Return when more may be started, or the end is decided."""
        if self.contexts.scope.closed:
            return
        if self._may_start():
            await asyncio.sleep(0)  # let other tasks on this loop run
        else:
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    def result(self) -> BatchResult[T]:
        """Return the result of the batch, whose end is decided.

        :raises Exception: what the custom completion raised
        """
        if self._reason is None:
            raise self._fault or AssertionError("the batch has not ended")
        items = (self._ended.get(index) or self.contexts.started(index) for index in range(self._started))
        return BatchResult(tuple(items), self._reason)

    def _may_start(self) -> bool:
        limit = self.contexts.config.max_concurrency
        in_flight = self._started - len(self._ended)
        return self._started < len(self._statuses) and (limit is None or in_flight < limit)

    def _admit(self) -> list[tuple[int, Call]]:
        """Start what may be started in one turn of the loop.

        :return: the items whose end is on record: they need no task
        """
        loop = asyncio.get_running_loop()
        ended: list[tuple[int, Call]] = []
        last = self._started + self.contexts.call.journal.limits.batch_starts
        while self._started < last and self._may_start() and not self.contexts.scope.closed:
            index = self._started
            self._started += 1
            self._statuses[index] = BatchStatus.STARTED
            call = self.contexts.call_of(index)
            if self._is_recorded(call):
                ended.append((index, call))
            else:
                start_task(loop, call.branch, self._run(index, call)).set_name(call.name)
        return ended

    def _is_recorded(self, call: Call) -> bool:
        record = call.recorded()
        return (
            record is not None
            and record["Status"] in TERMINAL
            and not (record.get("ContextDetails") or {}).get("ReplayChildren")
            and self.contexts.config.item_serializer is None  # which may have something to wait for
        )

    async def _take_recorded(self, ended: list[tuple[int, Call]]) -> None:
        for index, call in sorted(ended, key=_by_end):
            if self.contexts.scope.closed:
                return
            self._take(*await self.contexts.run(index, call))

    async def _run(self, index: int, call: Call) -> None:
        """Run an item in its own task."""
        try:
            item, result = await self.contexts.run(index, call)
        except (asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            self._interrupt(error)
            raise
        except BaseException as error:  # noqa: BLE001 - the batch raises it
            self._interrupt(error)
        else:
            self._take(item, result)

    def _take(self, item: BatchItem[T], result: str) -> None:
        if self.contexts.scope.closed:
            return  # too late
        self._ended[item.index] = item
        self._statuses[item.index] = item.status
        self._succeeded += item.status is BatchStatus.SUCCEEDED
        if self.contexts.config.serializer is None:
            self.writer.add(item, result)
        self._decide()
        if self.contexts.scope.closed or self._may_start():
            self._wake()

    def _decide(self) -> None:
        succeeded, ended = self._succeeded, len(self._ended)
        progress = BatchProgress(succeeded, ended - succeeded, len(self._statuses), self._statuses)
        try:
            self._reason = completion_reason(self.contexts.config.completion, progress)
        except Exception as error:  # noqa: BLE001 - the user's function
            self._fault = error
        if self._reason is not None or self._fault is not None:
            self.contexts.scope.close()

    def _interrupt(self, error: BaseException) -> None:
        if not self.contexts.scope.closed:
            self._interruption = error
            self._close()
            self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _close(self) -> None:
        scope = self.contexts.scope
        scope.is_awaited = self._reason is None and self._fault is None
        scope.close()

    async def _clear(self) -> None:
        call, scope = self.contexts.call, self.contexts.scope
        self._close()
        try:
            with call.running:
                await call.journal.gone(scope.tasks.keys())
        finally:
            scope.is_awaited = False


def _by_end(item: tuple[int, Call]) -> int:
    _, call = item
    record = call.recorded()
    return (end_microseconds(record) or 0) if record else 0


async def _recorded(run: _Run[T], described: SerializerContext) -> BatchResult[T]:
    """Record how the batch has ended."""
    call, config = run.contexts.call, run.contexts.config
    try:
        result = run.result()
        if config.serializer is None:
            payload = run.writer.finish(result.items, result.completion_reason)
        else:
            payload, back = await round_trip(call, config.serializer, result, described)
            result = _checked(back, described)
            payload = payload if utf8_size(payload) <= CONTEXT_RESULT_BYTES else None
        text = _summary(call, result, config) if payload is None else payload
    except Exception as error:  # noqa: BLE001 - an error of the user's functions for the batch fails it
        failure = call.error_object(error)
        await call.commit(Action.FAIL, Error=failure)
        raise call.failure(ChildContextError, failure) from None
    await call.commit(Action.SUCCEED, Payload=text, ContextOptions={"ReplayChildren": payload is None})
    if result.status is BatchStatus.FAILED:
        _warn(call, result)
    return result


def _warn(call: Call, result: BatchResult[T]) -> None:
    """Log that the batch ended FAILED. This happens once for each batch, because a replay does not record it again."""
    errors = result.errors()
    first = f", the first with {errors[0].error_type}" if errors else ""
    logger.warning(
        "%s: %s ended FAILED (%s): %d of %d started items failed%s",
        call.journal.execution_arn,
        call,
        result.completion_reason,
        len(errors),
        result.total_count,
        first,
    )


def _summary(call: Call, result: BatchResult[T], config: BatchConfig) -> str:
    text = None if config.summary is None else copy_context().run(config.summary, result)
    return call.sized(write_summary(f"{call.subtype}Result", result, text))


def _checked(value: object, described: SerializerContext) -> BatchResult[Any]:
    if _is_result(value):
        return value
    reason = f"the serializer of a batch must read a BatchResult, not a {type(value).__qualname__}"
    raise SerializationError(described.operation, reason)


def _is_result(value: object) -> TypeGuard[BatchResult[Any]]:
    return isinstance(value, BatchResult)
