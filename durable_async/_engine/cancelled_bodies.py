"""The bodies of steps that were cancelled and have not ended. They hold back the ends of other operations.

The workflow sees at once that such a body ends. That is not recorded, and a replay does not run the body: there it has
ended before everything that follows its cancellation. So on a first run nothing is handed over until it has ended.

- it holds back the order of its own context, and those of the contexts around it
- in a context that is closed it holds nothing back: how such a context ends is recorded
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from durable_async._engine.branches import Scope
from durable_async._engine.calling import place_of_task
from durable_async._engine.order import Order
from durable_async._engine.unstarted import Task
from durable_async.step_context import StepContext


@attrs.frozen
class CancelledBody:
    """A task that was cancelled in the body of a step.

    :ivar scope: the context of the step
    :ivar pending: how many cancellations of the task were pending before
    :ivar since: when it was cancelled, by the clock of its event loop, in seconds
    """

    task: Task
    step: StepContext
    scope: Scope
    pending: int
    since: float

    def is_running(self) -> bool:
        return place_of_task(self.task) is self.step and not self.task.done()


def held_back(bodies: Iterable[CancelledBody]) -> set[Order]:
    """Return the orders in which nothing is handed over because of running bodies."""
    held: set[Order] = set()
    for body in bodies:
        scope: Scope | None = body.scope
        while scope is not None:
            held.add(scope.order)
            scope = scope.parent
    return held
