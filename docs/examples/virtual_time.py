"""Run a workflow to its end in memory and in virtual time, for the examples in the documentation.

In your own tests use ``durable_async.testing``, which this module is a small view of.
"""

from datetime import timedelta
from typing import Any

import attrs

from durable_async import DurableHandler
from durable_async.embedded import HistoryEvent
from durable_async.testing import TestService


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


async def run(handler: DurableHandler[Any, Any], event: Any = None) -> Run:
    """Run ``handler`` until its execution is closed. Callbacks that nobody answers time out.

    :param event: a JSON value; None means ``{}``
    """
    async with TestService(handler) as service:
        execution = await service.embedded.start(handler.__name__, {} if event is None else event)
        followed = service.follow(execution)
        began = service.now()
        await followed.close(over_callbacks=True)
        closed = next(each for each in followed.events if each.type.is_end_of_execution())
        return Run(
            status=followed.status,
            result=await execution.result() if followed.status == "SUCCEEDED" else None,
            error=closed.details.get("Error"),
            events=[_label(each) for each in followed.events],
            took=timedelta(seconds=round((service.now() - began).total_seconds(), 3)),
        )


def _label(event: HistoryEvent) -> str:
    of_an_operation = not event.type.startswith("Execution")
    return f"{event.type} {event.name or '' if of_an_operation else ''}".rstrip()
