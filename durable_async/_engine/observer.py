"""What the engine calls an observer with. Without an observer nothing of this is called, and costs nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from durable_async._engine.branches import Branch
from durable_async._wire.operations import Action, Operation, OperationType, SubType


class ObservedCall(Protocol):
    """What an observer may know of a durable call."""

    branch: Branch
    id: str
    kind: OperationType
    subtype: SubType
    name: str | None

    @property
    def running(self) -> AbstractContextManager[None]: ...


class Observer(Protocol):
    """Is called with what the operations of one invocation do, and may stop them where the record ends."""

    def passes(self, call: ObservedCall, action: Action) -> bool:
        """Return whether ``call`` may begin an attempt or a commit. False: it waits for the end of the invocation, no
        body runs and nothing is written.

        :param action: START: an attempt, or the START of the operation; otherwise what would be recorded
        """
        ...

    def starting(self, call: ObservedCall) -> None:
        """Note that the START of ``call`` is about to be enqueued."""
        ...

    def reached(self, operation: Operation) -> None:
        """Note that the workflow asks for an operation that is on record."""
        ...

    def attempt(self, call: ObservedCall, attempt: int) -> AbstractContextManager[None]:
        """Return what is entered while an attempt of a step or condition runs: ``call.running``, or more.

        :param attempt: from 1
        """
        ...

    def user_function(
        self, call: ObservedCall, attempt: int | None = None, *, recorded: bool = True
    ) -> AbstractContextManager[None]:
        """Return what is entered while a user's function runs.

        :param recorded: True: its end is recorded. False: it is the function of a context that is not recorded, so
            nothing else tells of its end
        """
        ...

    def trace_header(self, call: ObservedCall, function_name: str) -> str | None:
        """Return the trace header for a function that is about to be invoked; None: it gets none."""
        ...


class Substitute(Protocol):
    """Is called in place of each user's function whose result is recorded, for example by a test that replaces the
    function or crashes in it. What it returns or raises is the function's outcome."""

    def __call__(
        self,
        call: ObservedCall,
        attempt: int | None,
        body: Callable[[], object],
        run: Callable[[], Awaitable[object]],
        /,
    ) -> Awaitable[Any]:
        """Call ``body``, or do something else.

        :param attempt: of a step or condition, from 1; None: ``body`` is the function of a context
        :param body: the function
        :param run: runs it as if there were no substitute, in a worker thread if it is sync
        """
        ...
