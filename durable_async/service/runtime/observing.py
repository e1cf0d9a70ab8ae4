"""The protocol by which a service can be measured. Without an observer, nothing is measured."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

import attrs

from durable_async.service.machine import Changes, Execution

logger: logging.Logger = logging.getLogger("durable_async.service")


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


@attrs.frozen
class GuardedObserver:
    """Calls an observer, and logs an error that it raises: no execution may wait because it could not be measured."""

    _observer: ServiceObserver

    def trace_header(self, execution: Execution) -> str | None:
        """Return the observer's trace header; if the observer raises, that of the caller who started the execution."""
        header = execution.trace_header
        with _logged("trace_header"):
            header = self._observer.trace_header(execution)
        return header  # noqa: RET504 - the caller's, if the observer raised

    def found(self, count: int) -> None:
        with _logged("found"):
            self._observer.found(count)

    def stored(self, execution: Execution, changes: Changes, duration: float) -> None:
        with _logged("stored"):
            self._observer.stored(execution, changes, duration)

    def invoked(self, waited: float) -> None:
        with _logged("invoked"):
            self._observer.invoked(waited)

    def timers_fired(self, lag: float) -> None:
        with _logged("timers_fired"):
            self._observer.timers_fired(lag)


@contextmanager
def _logged(method: str) -> Generator[None]:
    try:
        yield
    except Exception:  # the observer's code and what it calls, such as a sampler or a span processor
        logger.exception("The service's observer raised an error in %s. It is ignored.", method)
