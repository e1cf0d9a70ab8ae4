"""Invokes functions in turn, and converts their answers to changes of an execution."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service import machine
from durable_async.service.functions.base import Function, InvocationFailed, InvocationRequest
from durable_async.service.machine import ChainedOutcome, Execution, ExecutionStatus, Moment
from durable_async.service.runtime.registry import Registered
from durable_async.service.runtime.slots import Place, Slots


class Invoker:
    """Invokes functions.

    :param max_concurrency: the maximum number of invocations at once; None: no limit
    :param now_ms: returns the time in epoch milliseconds
    :ivar slots: taken by each invocation for as long as it runs
    """

    def __init__(self, max_concurrency: int | None, now_ms: Callable[[], int]) -> None:
        self.slots: Slots = Slots(max_concurrency)
        self._now_ms = now_ms

    def request(
        self, registered: Registered, request_id: str, tenant_id: str | None, trace_header: str | None
    ) -> InvocationRequest:
        """Return the request of an invocation that begins now."""
        return InvocationRequest(
            request_id=request_id,
            function_name=registered.name,
            function_arn=registered.arn,
            tenant_id=tenant_id,
            deadline_ms=self._now_ms() + registered.function_timeout * 1000,
            trace_header=trace_header,
        )

    async def plain(
        self,
        registered: Registered,
        event: object,
        tenant_id: str | None,
        trace_header: str | None,
        turn: str | None = None,
    ) -> Any:
        """Return the answer of a function that is not durable.

        :raises InvocationFailed: it raised, crashed or ran too long
        """
        request_id = mint()
        async with self.slots.taken(registered.key, turn or request_id):
            request = self.request(registered, request_id, tenant_id, trace_header)
            return await registered.function.invoke(event, request)

    async def target_outcome(
        self, registered: Registered, chained: machine.StartChained, execution_id: str
    ) -> ChainedOutcome:
        """Invoke a target that is not durable, and return the outcome for the chained invoke."""
        event = json.loads(chained.payload)
        try:
            value = await self.plain(registered, event, chained.tenant_id, chained.trace_header, execution_id)
        except InvocationFailed as failed:
            return ChainedOutcome("FAILED", error=failed.error)
        return ChainedOutcome("SUCCEEDED", json.dumps(value, ensure_ascii=False))


def mint() -> str:
    """Return 32 random hexadecimal digits, for ids and tokens."""
    return os.urandom(16).hex()


@attrs.frozen(eq=False)
class RunningInvocation:
    """A call of a function that runs in ``task`` and holds ``place``."""

    task: asyncio.Task[Any]
    place: Place

    @classmethod
    def of_this_task(cls, place: Place) -> RunningInvocation:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("An invocation runs in a task.")
        return cls(task, place)

    @contextmanager
    def among(self, running: dict[str, RunningInvocation], execution_id: str) -> Generator[None]:
        """Keep this call in ``running`` while the code inside runs."""
        running[execution_id] = self
        try:
            yield
        finally:
            if running.get(execution_id) is self:
                del running[execution_id]

    def abandon(self) -> None:
        """Cancel the call, and free its place at once, before the call has ended."""
        self.task.cancel()
        self.place.give_back()


async def invocation_end(
    function: Function,
    event: object,
    request: InvocationRequest,
    *,
    interrupted: Callable[[], bool],
    parks: bool,
) -> Callable[[Execution, Moment], None]:
    """Invoke a durable function, and return what its answer does to the execution.

    :param interrupted: returns whether the service is shutting down. A cancelled function is then not a failure
    :param parks: True: an execution whose code does not fit the record is parked. False: it fails
    """
    request_id = request.request_id
    try:
        output = await function.invoke(event, request)
    except InvocationFailed as failed:
        error = failed.error
        return lambda execution, at: machine.invocation_failed(execution, request_id, error, at, parks=parks)
    if interrupted() and _is_pending(output):
        return lambda execution, at: machine.invocation_interrupted(execution, request_id, at)
    return lambda execution, at: machine.invocation_answered(execution, request_id, output, at, parks=parks)


def _is_pending(output: object) -> bool:
    return isinstance(output, Mapping) and cast("Mapping[str, object]", output).get("Status") == "PENDING"


def outcome_of(child: Execution) -> ChainedOutcome:
    """Return the outcome for the chained invoke that started a closed execution."""
    error: ErrorObject | None = child.error
    if child.status is ExecutionStatus.TIMED_OUT:
        error = {
            "ErrorType": "ChainedInvoke.Timeout",
            "ErrorMessage": f"CHAINED_INVOKE timed out after {child.timeout_seconds} seconds.",
        }
    return ChainedOutcome(str(child.status), child.result, error)
