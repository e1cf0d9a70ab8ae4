"""Finds the branch that the running code is in.

The running task knows it. The context variable is read only in a task or thread that no workflow started, because a
framework may copy context variables from one task to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

from durable_async._engine.branches import Branch, Scope, Workflow
from durable_async._engine.tasks import Task, running_task
from durable_async.errors import ContextMisuseError
from durable_async.step_context import StepContext

Place = Branch | StepContext | None
"""Where code is. None: in no workflow."""

_current: ContextVar[Place] = ContextVar("durable_async_branch", default=None)
_UNKNOWN: Any = object()


def current() -> Place:
    """Return where the running code is. This works in the worker thread of a step too."""
    task = running_task()
    if task is None:
        return _current.get()
    place: Place = getattr(task, "durable_place", _UNKNOWN)
    return _place_of_inherited(task) if place is _UNKNOWN else place


def _place_of_inherited(task: Task) -> Place:
    """Return the place of the running task, which was made without the loop's task factory. It has the context variable
    of the code that made it."""
    creator = _current.get()
    if not isinstance(creator, Branch) or creator.is_calling():
        return creator
    if creator.task is None or creator.task.get_loop() is not task.get_loop():
        return None  # asyncio.run in a thread that the workflow started
    branch = creator.of_late_task()
    put_task(task, branch)
    branch.scope.order.begin_task()
    branch.workflow.adopt(task, branch)
    return branch


def current_creator() -> Place:
    """Return where the code is that makes a task. A task that is made in a context without our variable is meant to
    belong to no workflow, whatever task makes it."""
    return None if _current.get() is None else current()


def place_of_task(task: Task) -> Place:
    """Return where a task is: the running one, or one that was placed."""
    place: Place = getattr(task, "durable_place", _UNKNOWN)
    return _current.get() if place is _UNKNOWN else place


def place_of_other(task: Task) -> Place:
    """Return where any task is. Up to Python 3.11, None is returned for a task that the body of a step started."""
    place: Place = getattr(task, "durable_place", _UNKNOWN)
    if place is not _UNKNOWN:
        return place
    get_context: Callable[[], Context] | None = getattr(task, "get_context", None)
    return None if get_context is None else get_context().get(_current)


def place_of_callback(context: Context, callback: object) -> Place:
    """Return where the code is that an event loop is going to run in ``context``."""
    task = getattr(callback, "__self__", None)
    place: Place = getattr(task, "durable_place", _UNKNOWN)
    return context.get(_current) if place is _UNKNOWN else place


def put_task(task: Task, place: Place) -> None:
    """Make ``place`` the place of ``task``."""
    placed: Any = task
    placed.durable_place = place


def put_in_body(task: Task, step: StepContext, scope: Scope) -> None:
    """Make the body of a step the place of ``task``.

    :param scope: the context of the step
    """
    placed: Any = task
    placed.durable_place = step
    placed.durable_scope = scope


def put_in(context: Context, place: Place) -> None:
    """Make ``place`` the current place in ``context``, in which nothing runs yet."""
    context.run(_current.set, place)


class entered:  # noqa: N801 - reads as a verb, and is on the path of each step: a generator costs three times as much
    """``with entered(place):`` the code in it belongs to ``place``."""

    __slots__ = ("_before", "_place", "_task", "_token")

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._token = _current.set(self._place)
        task: Any = running_task()
        self._task = task
        if task is not None:
            self._before: Any = getattr(task, "durable_place", _UNKNOWN)
            task.durable_place = self._place

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        if self._task is None:
            return
        if self._before is _UNKNOWN:
            del self._task.durable_place
        else:
            self._task.durable_place = self._before


class entered_scope:  # noqa: N801 - as above
    """Gives the code in ``with entered_scope(...):`` a branch of its own in ``scope``, and closes the scope at the end.
    Entering it returns that branch.

    :param outer: a branch of the same workflow
    :param prefix: the id from which the ids of the operations in it derive
    """

    __slots__ = ("_entered", "_inner", "_scope")

    def __init__(self, outer: Branch, scope: Scope, prefix: str) -> None:
        scope.prefix = prefix
        self._inner = Branch(outer.workflow, scope, prefix, asyncio.current_task())
        self._entered = entered(self._inner)
        self._scope = scope

    def __enter__(self) -> Branch:
        self._entered.__enter__()
        return self._inner

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Close the scope.

        :raises ContextMisuseError: the context returned, and an operation that it called was never awaited
        """
        self._entered.__exit__()
        self._scope.close()
        if self._scope.unstarted:
            from durable_async._engine.unstarted import settle_unstarted  # few contexts leave such operations

            settle_unstarted(self._scope.unstarted, self._inner.workflow, error)


class root_scope:  # noqa: N801 - as above
    """Entered around the call of the workflow's function: ``with root_scope(workflow):``."""

    __slots__ = ("_branch",)

    def __init__(self, workflow: Workflow) -> None:
        self._branch = calling_branch(workflow)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Check that the workflow awaited what it called, if it returned.

        :raises ContextMisuseError: an operation was never awaited
        """
        if unstarted := self._branch.scope.unstarted:
            from durable_async._engine.unstarted import settle_unstarted  # as above

            settle_unstarted(unstarted, self._branch.workflow, error)


def calling_branch(workflow: Workflow) -> Branch:
    """Return the branch of ``workflow`` that the running code is in.

    :raises ContextMisuseError: it is in none
    """
    try:
        here: Place = getattr(asyncio.current_task(), "durable_place", _UNKNOWN)
    except RuntimeError:  # a thread without an event loop
        here = None
    if isinstance(here, Branch) and here.workflow is workflow:
        return here
    here = current()
    if isinstance(here, Branch) and here.workflow is workflow and running_task() is not None:
        return here
    if isinstance(here, StepContext):
        name = here.name or here.operation_id
        raise ContextMisuseError(
            f"a durable operation was called inside the body of step {name!r}. A step is recorded as a whole: call "
            "the operation from the workflow, or make the function a child context"
        )
    if isinstance(here, Branch) and here.workflow is not workflow:
        raise ContextMisuseError(
            f"the context of execution {workflow.execution_arn} was used in execution {here.workflow.execution_arn}"
        )
    if workflow.main is not None and workflow.main.done():
        raise ContextMisuseError(
            f"the context of execution {workflow.execution_arn} was used after the invocation that it belongs to had "
            "ended. Use a context only in the workflow that gets it: to act on an execution from outside, answer a "
            "callback, or call DurableService or DurableClient"
        )
    raise ContextMisuseError(
        "a durable operation was called from a thread, a callback or a task that is not part of its workflow. Call it "
        "from the workflow's coroutine or from a task that the workflow started"
    )
