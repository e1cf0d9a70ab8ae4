"""What the engine tells whoever listens to an invocation. With no listener there is none, and nothing is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from durable_async._engine.branches import Branch
from durable_async._wire.operations import Action, Operation, OperationType, SubType


class ObservedCall(Protocol):
    """A durable call, as far as a listener may know it."""

    branch: Branch
    id: str
    kind: OperationType
    subtype: SubType
    name: str | None

    def running(self) -> AbstractContextManager[None]: ...


class Observer(Protocol):
    def starting(self, call: ObservedCall) -> None:
        """The START of ``call`` is about to be enqueued."""
        ...

    def reached(self, operation: Operation) -> None:
        """The workflow asks for an operation that is on record."""
        ...

    def attempt(self, call: ObservedCall, attempt: int) -> AbstractContextManager[None]:
        """``call.running()`` for an attempt, numbered from 1, of a step or condition."""
        ...

    def user_function(
        self, call: ObservedCall, attempt: int | None = None, *, recorded: bool = True
    ) -> AbstractContextManager[None]:
        """Entered while a user's function runs.

        :param recorded: False for a context that is not, of whose end nothing else can tell
        """
        ...

    def trace_header(self, call: ObservedCall, function_name: str) -> str | None:
        """What to hand on to a function that is about to be invoked."""
        ...


Frontier = Callable[[ObservedCall, Action], None]
"""Told of a call that comes to the end of the record, and of what it would do there: START an operation or an attempt,
or end one. The call stays there; no body runs and nothing is written."""


class Substitute(Protocol):
    """Called in place of each user's function whose result is recorded, as a test does that replaces it or crashes
    in it. What it returns or raises is the function's outcome."""

    def __call__(
        self, call: ObservedCall, attempt: int | None, body: Callable[[], Any], run: Callable[[], Awaitable[Any]], /
    ) -> Awaitable[Any]:
        """
        :param attempt: of a step or condition, from 1; None: the function of a context
        :param body: the function
        :param run: runs it as if there were no substitute, in a worker thread if it is sync
        """
        ...
