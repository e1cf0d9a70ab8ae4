"""The branches of identity that the tasks of a workflow form.

- A branch is a sequence of calls: the body of a context, or one asyncio task started inside it.
- A branch numbers its own calls and the tasks that it creates, both in program order. So an id depends on the place in
  the program and never on what the event loop ran first.
- A task belongs to the branch that was running when it was created.
- A task that a callback creates, or code that does not use the loop's task factory, is numbered when it first calls an
  operation, in the order in which such tasks do so.
- Bodies of steps run in no branch: the tasks that an HTTP client starts there do not belong to the workflow.

``calling`` finds the branch that the running code is in; ``task_factory`` is the hook on the event loop.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Collection, Iterable
from types import CodeType
from typing import Any, NamedTuple, cast

from durable_async._engine.as_completed import given_to_as_completed, made_of, places
from durable_async._engine.order import Order
from durable_async._engine.tasks import Coro, Task, cancel, running_task
from durable_async._wire.ids import (
    keyed_branch,
    keyed_operation_id,
    late_task_branch,
    operation_id,
    patch_operation_id,
    task_branch,
)
from durable_async.errors import ContextMisuseError, NonDeterminismError
from durable_async.step_context import StepContext


class Workflow:
    """What all branches of one invocation share.

    :ivar on_change: called when a task has begun or ended
    :ivar context: the ``DurableContext`` that the workflow was called with
    :ivar main: the task of the workflow's function; None until it starts
    :ivar unawaited: operations that have not begun, of contexts that have ended. A task may still begin them
    :ivar exited: the SystemExit or KeyboardInterrupt that left one of the tasks and ends the program; None: none did
    :ivar cancelled_bodies: by their tasks, the bodies of steps that were cancelled. They may have ended meanwhile
    """

    def __init__(self, execution_arn: str) -> None:
        self.execution_arn = execution_arn
        self.on_change: Callable[[], None] = lambda: None
        self.context: Any = None
        self.main: Task | None = None
        self.tasks: dict[Task, Branch] = {}
        self.unawaited: list[Coro[object]] = []
        self.exited: BaseException | None = None
        self.cancelled_bodies: dict[Task, CancelledBody] = {}

    def adopt(self, task: Task, branch: Branch) -> None:
        """Count a task among those of the workflow and of its context, until it ends. It is the one that calls in
        ``branch``, and was announced to the order of the context."""
        branch.task = task
        self.tasks[task] = branch
        branch.scope.tasks[task] = None
        task.add_done_callback(branch.forget)
        self.on_change()

    def release(self, task: Task) -> None:
        """Do not count the task among those of the workflow any more: it continues when the workflow ends."""
        branch = self.tasks.pop(task)
        branch.scope.tasks.pop(task, None)

    def forget(self, task: Task) -> None:
        self.tasks.pop(task, None)
        # Not with task.exception(), after which asyncio would assume that somebody has seen the error.
        error: BaseException | None = getattr(task, "_exception", None)
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            self.exited = error
        elif isinstance(error, NonDeterminismError):
            task.exception()  # the execution fails with it anyway, so nobody has to ask this task for it
        self.on_change()


class Scope:
    """A context, as its operations see it: whose children they are, and whether they may still write.

    :ivar id: the id of the nearest context that is recorded as an operation; None at the root
    :ivar closed: nothing in it may run or write any more
    :ivar has_deadline: it is a block with a deadline, or is inside one
    :ivar expired: its deadline has passed: an operation in it that has not ended on record never will
    :ivar order: the order in which ends of its operations are handed over
    :ivar prefix: the ids of its operations derive from it
    :ivar keys: the keys of ``ctx.at`` that were used in it; None: none were
    :ivar is_expiring: its deadline has passed, and ``expired`` waits for its turn in the order
    :ivar is_awaited: it is closed, how it ended will not be recorded, and the code outside waits for its tasks to end
    :ivar tasks: the tasks that run in it and have not ended, in the order in which they were started
    :ivar unstarted: the operations that were called in it and have not begun, in order
    """

    closed: bool = False
    expired: bool = False
    prefix: str = ""
    keys: set[str] | None = None
    is_expiring: bool = False
    is_awaited: bool = False

    def __init__(
        self, context_id: str | None = None, parent: Scope | None = None, *, order: Order | None = None
    ) -> None:
        self.id = context_id
        self.parent = parent
        self.has_deadline: bool = parent is not None and parent.has_deadline
        self.order: Order = order or Order()
        self.tasks: dict[Task, None] = {}
        self.unstarted: dict[Claim, None] = {}

    @classmethod
    def inside(cls, parent: Scope, context_id: str | None) -> Scope:
        """Return the scope of a context that is entered now. It has an order of its own."""
        return cls(context_id, parent, order=Order(parent.order.latest))

    def is_closed(self) -> bool:
        """Return whether it is closed, or a context around it is. The root never is."""
        return self.closed or (self.parent is not None and self.parent.is_closed())

    def lets_go(self) -> bool:
        """Return whether what still runs in it has no effect on the order of what happens outside: it is closed, or a
        context around it is, and either nothing waits for its tasks or its end will have a place in the record."""
        return (self.closed and not self.is_awaited) or (self.parent is not None and self.parent.lets_go())

    def is_expired(self) -> bool:
        return self.expired or (self.parent is not None and self.parent.is_expired())

    def is_single(self) -> bool:
        """Return whether one task runs in the context, and in each around it."""
        return self.order.is_single and (self.parent is None or self.parent.is_single())

    def will_expire(self) -> bool:
        return self.is_expiring or (self.parent is not None and self.parent.will_expire())

    def close(self) -> None:
        """End the context: nothing in it can write any more, and its tasks that have not ended are cancelled, except
        for the running one."""
        self.closed = True
        if self.tasks:
            self.cancel_tasks(running_task())

    def cancel_tasks(self, spared: Task | None = None) -> None:
        """Cancel the tasks of the context, and those of the contexts in which they are, all at once: none may run on
        for a moment, in which it is refused operations and takes the lock that another one leaves.

        A task comes before those that it has started, and is cancelled once, even if contexts around it end too. So a
        group whose own task is cancelled cancels none that is cleaning up already.
        """
        for task in [*self.tasks]:  # a future may start a task when it is cancelled
            if task is not spared and not getattr(task, "durable_must_end", False):
                cancel(task)
                self.cancel_tasks_inside(task)

    def cancel_tasks_inside(self, task: Task) -> None:
        """Cancel the tasks of the contexts inside of this one in which ``task`` is."""
        for scope in self._scopes_inside(task):
            scope.cancel_tasks()

    def _scopes_inside(self, task: Task) -> list[Scope]:
        """Return the contexts inside of this one in which ``task`` is, the outermost first."""
        branch = getattr(task, "durable_place", None)
        scope: Scope | None = branch.scope if isinstance(branch, Branch) else getattr(task, "durable_scope", None)
        inside: list[Scope] = []
        while scope is not None and scope is not self:
            inside.append(scope)
            scope = scope.parent
        return inside[::-1] if scope is self else []


class CancelledBody(NamedTuple):
    """The body of a step in which a task was cancelled.

    :ivar scope: the context of the step
    :ivar pending: how many cancellations of the task were pending before
    :ivar since: when it was cancelled, by the clock of its event loop, in seconds
    """

    step: StepContext
    scope: Scope
    pending: int
    since: float


class Claim:
    """An operation that was called, as the branch sees it that gave it an identity.

    :ivar number: of the call in its context
    :ivar coroutine: does the operation, and has not begun; None afterwards
    :ivar caller: the code that called the operation, with the offset of the instruction in it
    """

    __slots__ = ("branch", "caller", "coroutine", "id", "instruction", "number")

    branch: Branch
    id: str
    number: int
    coroutine: Coro[object] | None
    caller: CodeType | None
    instruction: int


class Branch:
    """A sequence of calls in one task.

    :ivar prefix: the ids of its operations derive from it; empty in the root context
    :ivar task: the one task that may call in it; None until a task that starts eagerly makes its first call
    :ivar creator: the branch whose code started the task; None: the engine started it, or it is the body of a context
    :ivar task_hash: the hash of the task, the same on every replay, so that sets of tasks have the same order
    :ivar is_durable: it has made a durable call, or a task that it started has
    """

    task_hash: int = 0
    is_durable: bool = False
    patches: dict[str, bool] | None = None  # what ctx.patched has answered
    _calls: int = 0
    _tasks: int = 0
    _late_tasks: int = 0
    _late_hashes: int = 0
    _values: int = 0
    _keys: set[str] | None = None
    _tasks_from: int | None = None
    _given: object = None  # to as_completed, by its last call
    _given_places: dict[object, int] | None = None  # of what has no task yet
    _given_from: int = 0

    def __init__(
        self,
        workflow: Workflow,
        scope: Scope | None = None,
        prefix: str | None = "",
        task: Task | None = None,
        *,
        creator: Branch | None = None,
    ) -> None:
        self.workflow = workflow
        self.scope: Scope = scope or Scope()
        if prefix is not None:
            self.prefix: str = prefix
        self.task = task
        self.creator = creator

    def forget(self, task: Task) -> None:
        """Do not count its task, which has ended, among those of the workflow and of the context any more."""
        self.scope.tasks.pop(task, None)
        self.scope.order.end_task()
        self.workflow.forget(task)

    def claim(self, key: str | None) -> str:
        """Return the id of the next operation, or of the one with ``key``.

        :raises ContextMisuseError: the key was used in this branch before
        """
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
        """Return whether it is ``other``, or the branch of a task that was started in it."""
        branch: Branch | None = self
        while branch is not None and branch is not other:
            branch = branch.creator
        return branch is other

    def claim_patch(self, patch: str) -> str:
        """Return the id of the marker of a patch. It moves no other position, and may be claimed several times."""
        if not self.is_durable:
            self._become_durable()
        return patch_operation_id(self.prefix, patch)

    def counts(self) -> tuple[int, int]:
        """Return how many operations without a key it has called, and how many tasks it has started."""
        return self._calls, self._tasks

    def claim_value(self) -> str:
        """Return the position of the next value that is derived and not recorded."""
        self._values += 1
        return operation_id(self.prefix, f"value-{self._values}")

    def at(self, key: str) -> Branch:
        """Return a branch of the same context whose operations are identified by ``key``, whichever task calls them.

        :raises ContextMisuseError: the key was used in this context before
        """
        scope = self.scope
        if scope.keys is None:
            scope.keys = set()
        elif key in scope.keys:
            raise ContextMisuseError(
                f"ctx.at({key!r}) was called twice in one context, so two operations would have one identity. Keep "
                "what it returns, or use another key"
            )
        scope.keys.add(key)
        return Branch(self.workflow, scope, keyed_branch(scope.prefix, key), self.task, creator=self)

    def of_new_task(self, coro: Coro[object]) -> Branch:
        """Return the branch of the task that is being made of ``coro``.

        :raises ContextMisuseError: a replay would not repeat the order in which it is made
        """
        given = given_to_as_completed()
        if given is None:
            self._tasks += 1
            number = self._tasks
        else:
            number = self._number_in_as_completed(given, coro)
        branch = Branch(self.workflow, self.scope, task_branch(self.prefix, number), creator=self)
        if self._tasks_from is None:
            self._tasks_from = self.hash_of_position()
        branch.task_hash = self._tasks_from + number
        return branch

    def _number_in_as_completed(self, given: Iterable[object], coro: Coro[object]) -> int:
        """Return the number of the task that ``as_completed`` makes: the coroutines of a list are numbered in its
        order. An operation has its identity already, so its task counts down from zero with the number of the call."""
        each, left = made_of(coro), self._given_places
        if given is not self._given or (left is not None and each not in left):  # a list may be used again
            self._given, self._given_from = given, self._tasks + 1
            self._given_places = left = places(given)
            if left is not None:
                self._tasks += len(cast("Collection[object]", given))
        if left is not None:
            return self._given_from + left.pop(each)
        for claim in self.scope.unstarted:
            if claim.coroutine is coro:
                return -claim.number
        raise ContextMisuseError(
            "asyncio.as_completed starts coroutines in no order that a replay repeats, unless it is given a list. Of a "
            "set or an iterator it takes operations only, such as ctx.step(...)"
        )

    def of_late_task(self) -> Branch:
        """Return the branch of a task that was not started by this branch's own code, see above."""
        return LateBranch(self, self._prefix_of_late_task)

    def _prefix_of_late_task(self) -> str:
        self._late_tasks += 1
        return late_task_branch(self.prefix, self._late_tasks)

    def hash_of_late_task(self) -> int:
        """Return the hash of the next such task."""
        self._late_hashes += 1
        return ~crc32(self.workflow.execution_arn.encode()) - self._late_hashes

    def hash_of_position(self) -> int:
        """Return a hash that is the same on every replay."""
        return crc32(f"{self.workflow.execution_arn}\n{self.prefix}".encode())

    def is_calling(self) -> bool:
        """Return whether the running code is this branch's own task."""
        running = running_task()
        if running is None:
            return False
        if self.task is None:
            self.task = running
        return self.task is running


class LateBranch(Branch):
    """The branch of a task that its creator did not start with its own code, and of the tasks which that one starts.
    It takes a number when it first needs one: until then it may be a background task of a client, which a replay would
    not start again.

    :param number: takes the number and returns the prefix
    """

    def __init__(self, creator: Branch, number: Callable[[], str]) -> None:
        super().__init__(creator.workflow, creator.scope, None, creator=creator)
        self.task_hash = creator.hash_of_late_task()
        self._number = number

    def __getattr__(self, name: str) -> str:
        """Set the prefix, which is missing until the first time that it is read."""
        if name != "prefix":
            raise AttributeError(name)
        self.prefix = self._number()
        return self.prefix

    def of_new_task(self, coro: Coro[object]) -> Branch:
        if "prefix" in vars(self) or given_to_as_completed() is not None:
            return super().of_new_task(coro)
        self._tasks += 1
        number = self._tasks
        return LateBranch(self, lambda: task_branch(self.prefix, number))
