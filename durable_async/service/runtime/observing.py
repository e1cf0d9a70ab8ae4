"""The protocol by which a service can be measured. Without an observer, nothing is measured."""

from __future__ import annotations

from typing import Protocol

from durable_async.service.machine import Changes, Execution


class ServiceObserver(Protocol):
    """Is called on the event loop, so its methods must not block. Times are in seconds."""

    def trace_header(self, execution: Execution) -> str | None:
        """Return the X-Ray trace header that an execution's invocations get."""
        ...

    def found(self, count: int) -> None:
        """Note that an earlier service left ``count`` executions open."""
        ...

    def stored(self, execution: Execution, changes: Changes, duration: float) -> None:
        """Note that the changes of a command were stored.

        :param duration: how long the store took, including the wait for the commit
        """
        ...

    def invoked(self, waited: float) -> None:
        """Note that an invocation begins, which ``waited`` for its turn."""
        ...

    def timers_fired(self, lag: float) -> None:
        """Note that due timers fire, the earliest of which was due ``lag`` seconds ago."""
        ...
