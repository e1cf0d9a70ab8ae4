"""Invokes functions: takes a turn for each, and ends the program when a function asks for that."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress

from durable_async.service import machine, own_tasks
from durable_async.service.functions.base import InvocationFailed, InvocationRequest
from durable_async.service.machine import ChainedOutcome, Execution, Moment
from durable_async.service.model.errors import StoreError
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.registry import Registered
from durable_async.service.runtime.settings import Settings, mint
from durable_async.service.runtime.slots import Slots


class Invoker:
    """Invokes functions.

    :ivar slots: taken by each invocation for as long as it runs
    """

    def __init__(self, settings: Settings) -> None:
        self.slots: Slots = Slots(settings.max_concurrency)
        self._now_ms = settings.now_ms

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
    ) -> object:
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


async def exit_program(commands: Commands, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
    """End the program, because a function of this process raised SystemExit or KeyboardInterrupt. A SystemExit is
    recorded first as a failure of the execution, so that the next start knows what ended the program. A
    KeyboardInterrupt is not a failure.

    :raises BaseException: the current exception, unless the program is ending already
    """
    exiting = sys.exception()
    if isinstance(exiting, SystemExit):
        with suppress(StoreError):
            await own_tasks.finish(commands.once(execution_id, decide))
    task = asyncio.current_task()
    if exiting is not None and task is not None and not task.cancelling():
        raise exiting
