"""asyncio's tasks and coroutines, as the engine sees them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Task = asyncio.Task[object]
Coro: TypeAlias = Coroutine[Any, Any, T]
"""What a coroutine function returns. Only the event loop knows the types of what it yields and is sent."""


def running_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return None


def has_not_begun(task: Task) -> bool:
    """Return whether a task waits for its first turn."""
    coroutine = task.get_coro()
    return inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED


def cancel(task: Task) -> None:
    """Cancel a task because what it belongs to ends."""
    marked: Any = task
    marked.durable_must_end = True
    task.cancel()
