"""Who is calling: the branches of identity that the tasks of a workflow form.

- A branch is one sequential strand of calls: the body of a context, or one asyncio task started inside it.
- A branch numbers its own calls and the tasks that it creates, both in program order. So an id depends on where the
  program stands and never on what the event loop ran first.
- A task belongs to the branch that was running when it was created. A task created by a callback belongs to none,
  because callbacks run in no order that a replay would repeat.
- Bodies of steps run in no branch: what tasks an HTTP client starts in there is nobody's business.

``task_factory`` is the hook on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any

import attrs

from durable_async._engine.as_completed import place_in_as_completed
from durable_async._engine.unstarted import Coro, Unstarted, settle_unstarted
from durable_async._wire.ids import keyed_operation_id, operation_id, task_branch
from durable_async._wire.operations import Operation
from durable_async._wire.timestamps import end_microseconds
from durable_async.errors import ContextMisuseError
from durable_async.step_context import StepContext

Task = asyncio.Task[Any]


@attrs.define(eq=False)
class Workflow:
    """What all branches of one invocation have in common: their tasks, and the ear for their coming and going.

    :ivar unawaited: operations that have not begun, of contexts that have ended. A task may still begin them
    :ivar exited: the SystemExit or KeyboardInterrupt with which one of them ends the program
    """

    execution_arn: str
    on_change: Callable[[], None]
    tasks: dict[Task, Branch] = attrs.field(factory=dict[Task, "Branch"])
    unawaited: list[Coro] = attrs.field(factory=list[Coro])
    exited: BaseException | None = None

    def adopt(self, task: Task, branch: Branch) -> None:
        self.tasks[task] = branch
        task.add_done_callback(self._forget)
        self.on_change()

    def release(self, task: Task) -> None:
        """The task is none of the workflow's: it goes on when the workflow ends."""
        branch = self.tasks.pop(task)
        branch.scope.tasks.discard(task)

    def _forget(self, task: Task) -> None:
        self.tasks.pop(task, None)
        # Not by a call, after which asyncio would take the error for one that somebody has seen.
        error: BaseException | None = getattr(task, "_exception", None)
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            self.exited = error
        self.on_change()


@attrs.define(eq=False)
class Scope:
    """A context, as far as its operations are concerned: whose children they are, and whether they may still write.

    :ivar id: of the nearest context that is recorded as an operation; None at the root
    :ivar closed: nothing in it may run or write any more
    :ivar expired: what is not recorded as ended in it by now never will be
    :ivar tasks: those that run in it and have not ended
    :ivar unstarted: the operations that were called in it and have not begun, in order
    """

    id: str | None = None
    parent: Scope | None = None
    closed: bool = False
    expired: bool = False
    tasks: set[Task] = attrs.field(factory=set[Task], init=False)
    unstarted: dict[Unstarted, None] = attrs.field(factory=dict[Unstarted, None], init=False)

    def adopt(self, task: Task) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def is_closed(self) -> bool:
        return self.closed or (self.parent is not None and self.parent.is_closed())

    def is_expired(self) -> bool:
        return self.expired or (self.parent is not None and self.parent.is_expired())

    def close(self) -> None:
        """The context has ended: what is left of its tasks is cancelled, and nothing in it can write any more."""
        self.closed = True
        self.cancel_tasks()

    def cancel_tasks(self) -> None:
        for task in self.tasks:
            task.cancel()


@attrs.define(eq=False)
class Branch:
    """One strand of calls.

    :ivar prefix: what the ids of its operations derive from; empty in the root context
    :ivar task: the one task that may call in it; None until a task that starts eagerly makes its first call
    :ivar creator: the branch whose code started the task; None if the engine did, or if it is no task's own
    :ivar is_durable: it has made a durable call, or a task that it started has
    """

    workflow: Workflow
    scope: Scope = attrs.field(factory=Scope)
    prefix: str = ""
    task: Task | None = None
    latest: float = 0.0  # epoch seconds: the last end of an operation that this branch has come by
    creator: Branch | None = None
    is_durable: bool = False
    _calls: int = 0
    _tasks: int = 0
    _values: int = 0
    _keys: set[str] | None = None
    _given: object = None  # what as_completed was last called with, and the number of its first task
    _given_from: int = 0

    def claim(self, key: str | None) -> str:
        """The id of the next operation, or of the one called ``key``."""
        if not self.is_durable:
            self._become_durable()
        if key is None:
            self._calls += 1
            return operation_id(self.prefix, self._calls)
        if self._keys is None:
            self._keys = set()
        elif key in self._keys:
            raise ContextMisuseError(
                f"two operations of one branch have the key {key!r}; a key must be unique among the calls of a "
                "context, map item or task"
            )
        self._keys.add(key)
        return keyed_operation_id(self.prefix, key)

    def _become_durable(self) -> None:
        branch: Branch | None = self
        while branch is not None and not branch.is_durable:
            branch.is_durable = True
            branch = branch.creator

    def is_within(self, other: Branch) -> bool:
        """Whether it is ``other``, or the branch of a task that was started in it."""
        branch: Branch | None = self
        while branch is not None and branch is not other:
            branch = branch.creator
        return branch is other

    def claim_value(self) -> str:
        """The position of the next value that is derived and not recorded."""
        self._values += 1
        return operation_id(self.prefix, f"value-{self._values}")

    def come_by(self, operation: Operation) -> None:
        end = end_microseconds(operation)
        if end is not None:
            self.latest = max(self.latest, end / 1_000_000)

    def of_new_task(self, coro: Coroutine[Any, Any, Any]) -> Branch:
        """The branch of the task that is being made of ``coro``.

        :raises ContextMisuseError: it is made in no order that a replay repeats
        """
        unordered = place_in_as_completed(coro)
        if unordered is None:
            self._tasks += 1
            number = self._tasks
        else:
            given, place = unordered
            if given is not self._given:
                self._given, self._given_from = given, self._tasks + 1
                self._tasks += len(given)
            number = self._given_from + place
        return Branch(self.workflow, self.scope, task_branch(self.prefix, number), creator=self, latest=self.latest)

    def is_calling(self) -> bool:
        """Whether the running code is this branch's own task."""
        try:
            running = asyncio.current_task()
        except RuntimeError:  # a thread without an event loop
            return False
        if self.task is None:
            self.task = running
        return self.task is running


_current: ContextVar[Branch | StepContext | None] = ContextVar("durable_async_branch", default=None)


def current() -> Branch | StepContext | None:
    """The branch, or the step whose body it is, that the running code belongs to. In a step's worker thread too."""
    return _current.get()


def put_in(context: Context, place: Branch | StepContext | None) -> None:
    """Make ``place`` the current one of ``context``, which nothing runs in yet."""
    context.run(_current.set, place)


class entered:  # noqa: N801 - reads as a verb, and is on the path of each step: a generator costs three times as much
    """``with entered(place):`` what runs in it belongs to ``place``."""

    __slots__ = ("_place", "_token")

    def __init__(self, place: Branch | StepContext | None) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._token = _current.set(self._place)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


class entered_scope:  # noqa: N801 - as above
    """``with entered_scope(...):`` what runs in it has a branch of its own in ``scope``, which is closed at the end.

    :param prefix: the id from which the ids of the operations in it derive
    """

    __slots__ = ("_entered", "_inner", "_outer", "_scope")

    def __init__(self, workflow: Workflow, scope: Scope, prefix: str) -> None:
        outer = current()
        self._outer = outer if isinstance(outer, Branch) else None
        latest = 0.0 if self._outer is None else self._outer.latest
        self._inner = Branch(workflow, scope, prefix, asyncio.current_task(), latest)
        self._entered = entered(self._inner)
        self._scope = scope

    def __enter__(self) -> None:
        self._entered.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """:raises ContextMisuseError: the context returned, and an operation that it called was never awaited"""
        self._entered.__exit__()
        self._scope.close()
        if self._outer is not None:
            self._outer.latest = max(self._outer.latest, self._inner.latest)
        if self._scope.unstarted:
            settle_unstarted(self._scope.unstarted, self._inner.workflow, returned=kind is None)


class root_scope:  # noqa: N801 - as above
    """``with root_scope(workflow):`` the workflow's function runs in it, in the context around all others."""

    __slots__ = ("_branch",)

    def __init__(self, workflow: Workflow) -> None:
        self._branch = calling_branch(workflow)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """:raises ContextMisuseError: the workflow returned, and an operation that it called was never awaited"""
        if unstarted := self._branch.scope.unstarted:
            settle_unstarted(unstarted, self._branch.workflow, returned=kind is None)


def calling_branch(workflow: Workflow) -> Branch:
    """The branch of ``workflow`` that the running code calls from.

    :raises ContextMisuseError: there is none
    """
    here = _current.get()
    if isinstance(here, Branch) and here.workflow is workflow and here.is_calling():
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
    raise ContextMisuseError(
        "a durable operation was called from a task or thread that is no part of its workflow. Call it from the "
        "workflow's coroutine or from a task that the workflow started itself, not from a callback or a thread"
    )
