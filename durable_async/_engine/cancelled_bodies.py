"""The bodies of steps that were cancelled and have not ended. They hold back the ends of other operations.

The workflow sees at once that such a body ends. That is not recorded, and a replay does not run the body: there it has
ended before everything that follows its cancellation. So on a first run nothing is handed over until it has ended.

- it holds back the order of its own context, and those of the contexts around it
- in a context that is closed it holds nothing back: how such a context ends is recorded, or nobody waits for it. But a
  batch that is cancelled waits for the bodies in it, and its end is not recorded
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from durable_async._engine.branches import CancelledBody, Scope, Workflow
from durable_async._engine.calling import place_of_task
from durable_async._engine.order import Order
from durable_async._engine.tasks import Task

logger: logging.Logger = logging.getLogger("durable_async")


def drop_ended(workflow: Workflow, now: float, longest: float) -> None:
    """Forget the cancelled bodies of ``workflow`` that hold nothing back any more.

    :param now: by the clock of the event loop, in seconds
    :param longest: seconds for which a body may hold ends back. One that takes longer is logged
    """
    for task, body in [*workflow.cancelled_bodies.items()]:
        if not _holds_back(task, body):
            del workflow.cancelled_bodies[task]
        elif body.since + longest <= now:
            del workflow.cancelled_bodies[task]
            logger.warning(
                "%s: the body of step %r still runs %g seconds after it was cancelled. So far the ends of other "
                "operations waited for it, and now they do not: if the workflow depends on what ends first, a replay "
                "will take other decisions. Let the body end when it is cancelled",
                workflow.execution_arn,
                body.step.name or body.step.operation_id,
                longest,
            )


def held_back(bodies: Iterable[CancelledBody]) -> set[Order]:
    """Return the orders in which nothing is handed over because of running bodies."""
    held: set[Order] = set()
    for body in bodies:
        scope: Scope | None = body.scope
        while scope is not None:
            held.add(scope.order)
            scope = scope.parent
    return held


def _holds_back(task: Task, body: CancelledBody) -> bool:
    """Return whether ``task`` is still in the body, and the workflow sees when it leaves it."""
    return place_of_task(task) is body.step and not task.done() and not body.scope.lets_go()
