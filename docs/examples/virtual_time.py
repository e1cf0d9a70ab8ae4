"""Run a workflow to its end in memory, on a virtual clock that skips all waits.

The examples in the documentation use this module, and your tests can use it too. ``run`` takes one handler and needs no
network.
"""

import json
import time
from datetime import timedelta
from typing import Any

import attrs

from durable_async import DurableHandler
from durable_async.embedded.local import in_process_handler
from durable_async.service import ExecutionStatus, HistoryEvent, LambdaApi

DAY = 86_400  # seconds


@attrs.frozen
class Run:
    """What a finished execution did.

    :ivar result: the workflow's result, read from JSON; None unless it succeeded
    :ivar error: the recorded error object; None unless the execution failed
    :ivar events: type and name of each event of the history
    :ivar took: the duration by the virtual clock
    """

    status: str
    result: Any
    error: Any
    events: list[str]
    took: timedelta

    @property
    def invocations(self) -> int:
        return self.events.count("InvocationCompleted")


@attrs.define
class Clock:
    now: float = attrs.field(factory=lambda: round(time.time(), 3))  # timers count in milliseconds

    def __call__(self) -> float:
        return self.now


async def run(handler: DurableHandler[Any, Any], event: Any = None) -> Run:
    """Run ``handler`` until its execution is closed.

    :param event: a JSON value; None means ``{}``
    """
    clock = Clock()
    began = clock()
    async with LambdaApi(clock=clock, default_execution_timeout=366 * DAY) as service:
        on_this_clock = handler.on_clock(clock)
        service.register("workflow", in_process_handler(on_this_clock, service))
        started = await service.invoke("workflow:$LATEST", json.dumps({} if event is None else event).encode())
        arn = started.execution_arn
        while not await _closed(service, arn):
            due = service.next_due()
            assert due is not None, "the execution waits for something other than a timer"
            clock.now = max(clock.now, due)
            await service.fire_due()
        closed = await service.wait(arn)
        history = await service.get_history(arn, max_items=1000)
    return Run(
        status=closed.status,
        result=None if closed.result is None else json.loads(closed.result),
        error=closed.error,
        events=[_label(each) for each in history.items],
        took=timedelta(seconds=round(clock() - began, 3)),
    )


async def _closed(service: LambdaApi, arn: str) -> bool:
    await service.idle()  # returns when no function runs: from then on only the clock can change anything
    execution = await service.get_execution(arn)
    return execution.status is not ExecutionStatus.RUNNING


def _label(event: HistoryEvent) -> str:
    of_an_operation = not event.type.startswith("Execution")
    return f"{event.type} {event.name or '' if of_an_operation else ''}".rstrip()
