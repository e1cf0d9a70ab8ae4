"""What the service shows of its work to whoever measures it. Without an observer, nothing is measured."""

from __future__ import annotations

from typing import Protocol

from durable_async.service.machine import Changes, Execution


class ServiceObserver(Protocol):
    """Told on the event loop, so it must not block. Times are in seconds."""

    def trace_header(self, execution: Execution) -> str | None:
        """Return the X-Ray trace header that an execution's invocations get."""
        ...

    def found(self, count: int) -> None:
        """An earlier service left so many executions open."""
        ...

    def stored(self, execution: Execution, changes: Changes, duration: float) -> None:
        """What a command changed is stored.

        :param duration: of the store's work, waiting for the commit included
        """
        ...

    def invoked(self, waited: float) -> None:
        """An invocation begins, after it waited for its turn."""
        ...

    def timers_fired(self, lag: float) -> None:
        """Timers are carried out, the earliest of them so late."""
        ...
