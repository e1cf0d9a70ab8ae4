"""Replay the open executions of a service on the code that is about to be deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import attrs

from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.errors import HistoryError
from durable_async.handler import AnyHandler
from durable_async.replay import replay
from durable_async.replay.report import Continues, EndsDifferently, ReplayReport, Replays, Skips
from durable_async.service.model.errors import DamagedExecutionError, ResourceNotFoundError
from durable_async.service.model.history import HistoryEvent

OPEN: Final[Sequence[str]] = ("RUNNING", "PAUSING", "PAUSED")


class _Summary(Protocol):
    """An execution in a list."""

    @property
    def arn(self) -> str: ...


class _Execution(Protocol):
    async def history(self) -> Sequence[HistoryEvent] | Sequence[JsonMembers]:
        """Return the whole history, with its data.

        :raises ResourceNotFoundError: the execution has been deleted
        """
        ...


class ReplayableService(Protocol):
    """What the replay needs of a service. ``DurableService`` and ``DurableClient`` have it."""

    def executions(self, function: str, *, statuses: Iterable[str]) -> AsyncIterable[_Summary]:
        """Return the executions of a function, as they are asked for.

        :raises ResourceNotFoundError: the service does not know the function
        """
        ...

    def execution(self, arn: str) -> _Execution: ...


@attrs.frozen
class BrokenExecution:
    """An open execution that the new code cannot continue.

    :ivar report: what the replay found; None if the replay itself failed
    :ivar error: why the replay failed; None if there is a report
    """

    execution_arn: str
    function_name: str
    report: ReplayReport | None = None
    error: BaseException | None = None

    def reason(self) -> str:
        """Return one line that says what the new code would do."""
        if self.report is None:
            return f"cannot be replayed: {type(self.error).__name__}: {self.error}"
        skipped = f" (no longer called: {', '.join(map(str, self.report.skipped))})" if self.report.skipped else ""
        failure = _failure(self.report)
        return (self.report.first_line() if failure is None else f"fails at once: {failure}") + skipped

    def __str__(self) -> str:
        return f"{self.execution_arn}: {self.reason()}"

    def as_json(self) -> JsonObject:
        """Return the execution and its report as plain JSON values."""
        report = {} if self.report is None else self.report.as_json()
        return {
            **report,
            "DurableExecutionArn": self.execution_arn,
            "FunctionName": self.function_name,
            "Reason": self.reason(),
        }


@attrs.frozen
class OpenReplayReport:
    """What a replay of all open executions found.

    :ivar replayed: how many open executions were replayed, for each function
    :ivar broken: those that the new code cannot continue, in the order of the service's list
    :ivar unknown: functions that the service does not know, such as those that the deploy adds
    """

    replayed: Mapping[str, int]
    broken: Sequence[BrokenExecution] = ()
    unknown: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether the new code can continue every open execution."""
        return not self.broken

    def __str__(self) -> str:
        total = sum(self.replayed.values())
        count = f"{len(self.broken)} of {total} open executions would break"
        return "\n".join([count, *map(str, self.broken)])

    def as_json(self) -> JsonObject:
        """Return the report as plain JSON values, named in the style of Lambda's API."""
        return {
            "Passed": self.passed,
            "Replayed": dict(self.replayed),
            "Broken": [each.as_json() for each in self.broken],
            "Unknown": list(self.unknown),
        }


async def replay_open(
    service: ReplayableService, handlers: Mapping[str, AnyHandler], *, concurrency: int = 16
) -> OpenReplayReport:
    """Replay every open execution of the named functions on ``handlers``, without side effects.

    An execution counts as broken if the code calls another operation than the recorded one, skips a recorded operation,
    or fails before anything new has happened; and if its history cannot be replayed at all. An execution that ends or
    is deleted meanwhile is left out.

    :param service: a ``DurableService`` or ``DurableClient``, or anything else with ``executions`` and ``execution``
    :param handlers: the new code, by the name under which the service knows the function
    :param concurrency: how many histories are read at the same time
    :raises ApiError: the service cannot be asked
    """
    checks = _Checks(service, asyncio.Semaphore(concurrency))
    for function, handler in handlers.items():
        await checks.check_function(function, handler)
    return OpenReplayReport(
        checks.replayed, [checks.broken[number] for number in sorted(checks.broken)], checks.unknown
    )


@attrs.define
class _Checks:
    service: ReplayableService
    room: asyncio.Semaphore
    listed: int = 0
    replayed: dict[str, int] = attrs.field(factory=dict[str, int])
    broken: dict[int, BrokenExecution] = attrs.field(factory=dict[int, BrokenExecution])  # by their number in the list
    unknown: list[str] = attrs.field(factory=list[str])

    async def check_function(self, function: str, handler: AnyHandler) -> None:
        self.replayed[function] = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                async for summary in self.service.executions(function, statuses=OPEN):
                    await self.room.acquire()
                    self.listed += 1
                    task = tasks.create_task(self._check(self.listed, function, handler, summary.arn))
                    task.add_done_callback(lambda _: self.room.release())
        except BaseExceptionGroup as failed:  # of several, one says enough
            error = failed.exceptions[0]
            if not isinstance(error, ResourceNotFoundError):
                raise error from None
            self.unknown.append(function)

    async def _check(self, number: int, function: str, handler: AnyHandler, arn: str) -> None:
        found = await _replayed(self.service, handler, arn)
        if found is None:
            return
        self.replayed[function] += 1
        if isinstance(found, BaseException):
            self.broken[number] = BrokenExecution(arn, function, error=found)
        elif _breaks(found):
            self.broken[number] = BrokenExecution(arn, function, found)


async def _replayed(service: ReplayableService, handler: AnyHandler, arn: str) -> ReplayReport | BaseException | None:
    """Return the report of one execution, what keeps it from being replayed, or None if it is no longer open."""
    try:
        history = await service.execution(arn).history()
    except ResourceNotFoundError:
        return None
    except (DamagedExecutionError, HistoryError) as unreadable:
        return unreadable
    try:
        report = await replay(handler, history, execution_arn=arn)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are replayed nevertheless
        return error
    return None if isinstance(report.finding, Replays | EndsDifferently) else report


def _breaks(report: ReplayReport) -> bool:
    return not report.passed or _failure(report) is not None


def _failure(report: ReplayReport) -> str | None:
    """Return the error with which the code fails where the record ends; None if it does not fail there."""
    match report.finding:
        case Continues(ends) | Skips(ends) if ends is not None and ends.status == "FAILED":
            error = ends.error or {}
            return ": ".join(filter(None, (error.get("ErrorType"), error.get("ErrorMessage"))))
        case _:
            return None
