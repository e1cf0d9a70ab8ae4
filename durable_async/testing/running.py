"""One execution from its event to its end, for tests that are not async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Never, TypeVar, Unpack

from durable_async.embedded.service import PlainFunction
from durable_async.errors import ExecutionError
from durable_async.handler import AnyHandler, DurableHandler, running_loop
from durable_async.testing.execution import FinishedExecution, TestExecution
from durable_async.testing.service import ServiceOptions, TestService

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


def run(
    handler: DurableHandler[EventT, ResultT],
    event: EventT,
    *others: AnyHandler | PlainFunction,
    callbacks: Mapping[str, object] | None = None,
    prepare: Callable[[TestService[EventT, ResultT]], object] | None = None,
    seed: int = 0,
    **options: Unpack[ServiceOptions],
) -> FinishedExecution[ResultT]:
    """Run one execution to its end, in virtual time, on an event loop of its own.

    :param others: what the handler may invoke
    :param callbacks: answers by the name of the callback: an exception is a failure, any other value a result. A
        callback without an answer times out
    :param prepare: called with the service before the execution starts, to replace steps or plan crashes. What it
        plans has to happen
    :param seed: of ``random``, and of the ids of executions
    :param options: of :class:`~durable_async.testing.TestService`
    :raises StuckError: the execution waits for what will not come
    :raises AssertionError: a name in ``callbacks`` or ``prepare`` is not one of the workflow's
    :raises RuntimeError: called where an event loop runs, as in an async test
    """
    if running_loop() is not None:
        raise RuntimeError(
            "run(...) is for tests that are not async. In an async test, write 'async with TestService(handler) as "
            "service:', then 'await (await service.start(event)).finish()'"
        )

    async def main() -> FinishedExecution[ResultT]:
        async with TestService(handler, *others, seed=seed, **options) as service:
            if prepare is not None:
                prepare(service)
            execution = await service.start(event)
            unused = await answer_callbacks(service, execution, callbacks or {})
            check_all_used(execution, unused)
            return await finished(execution)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())


async def answer_callbacks(
    service: TestService[Never, object], execution: TestExecution[object], callbacks: Mapping[str, object]
) -> set[str]:
    """Run an execution to its end, answer the callbacks named in ``callbacks``, and let the others time out. Return the
    names of which there was no callback."""
    unused = {*callbacks}

    def reached() -> str | None:
        if execution.is_closed:
            return ""
        return next((name for name in callbacks if execution.callback_named(name)), None)

    while name := await service.drive(reached, "the end of the execution", over_callbacks=True):
        callback, answer = await execution.until_callback(name), callbacks[name]
        unused.discard(name)
        if isinstance(answer, BaseException):
            await callback.fail(answer)
        else:
            await callback.succeed(answer)
    return unused


def check_all_used(execution: TestExecution[object], unused: Collection[str]) -> None:
    """Check that no callback was left without an answer because its name is misspelt.

    :param unused: names for which there was an answer and no callback
    :raises AssertionError: there are such names, and there is a callback that nobody answered
    """
    left = [each.path for each in execution.operations if each.type == "CALLBACK" and each.status == "TIMED_OUT"]
    if unused and left:
        raise AssertionError(
            f"callbacks= has an answer for {', '.join(map(repr, sorted(unused)))}, and there was no callback of this "
            f"name. Is it misspelt? Without an answer, these timed out: {', '.join(map(repr, left))}"
        )


async def finished(execution: TestExecution[ResultT]) -> FinishedExecution[ResultT]:
    """Return a closed execution as a value that outlives its service."""
    results: Sequence[ResultT] = ()
    error: ExecutionError | None = None
    try:
        results = [await execution.handle.result()]
    except ExecutionError as failed:
        error = failed
    return FinishedExecution(execution.arn, execution.journal, results, error)
