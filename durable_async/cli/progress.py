"""Shows what an execution does while it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from durable_async.cli.history import History
from durable_async.cli.operations import COLUMNS, Operation, Operations
from durable_async.cli.tables import Lines, console, is_terminal, rich_table

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

_REFRESH_SECONDS = 0.1
_WIDTH = 500  # of the description of an operation: longer than a line


class Progress(Protocol):
    def take(self, event: Mapping[str, object]) -> None:
        """Take the next event of the history."""
        ...


@asynccontextmanager
async def shown(stream: TextIO, clock: Callable[[], float], *, remains: bool, ticks: bool) -> AsyncGenerator[Progress]:
    """Show a table of the operations on a terminal, and a line for each event elsewhere.

    :param clock: the clock of the execution
    :param remains: True to leave the table on the screen at the end; False to remove it
    :param ticks: True to refresh the table while nothing happens; False to refresh it only with an event
    """
    if is_terminal(stream):
        async with _table(stream, clock, remains=remains, ticks=ticks) as progress:
            yield progress
    else:
        yield EventLines(stream)


class EventLines:
    def __init__(self, stream: TextIO) -> None:
        self._history = History(stream)
        self._lines = Lines(self._history.columns, stream)

    def take(self, event: Mapping[str, object]) -> None:
        self._lines.print(self._history.row(event))


class OperationTable:
    """The operations as a tree. If the screen is too small, only the open ones and the latest ones."""

    def __init__(self, out: Console, clock: Callable[[], float]) -> None:
        self._out = out
        self._clock = clock
        self._operations = Operations()
        self._refreshed = 0.0  # real, monotonic
        self.refresh: Callable[[], None] = lambda: None

    def take(self, event: Mapping[str, object]) -> None:
        self._operations.take(event)
        if (now := time.monotonic()) >= self._refreshed + _REFRESH_SECONDS:
            self._refreshed = now
            self.refresh()

    def render(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        now = self._clock()
        chosen = choose([*self._operations], self._out.size.height - 4)
        table = rich_table(COLUMNS, [operation.row(now, _WIDTH) for operation in chosen], self._out.width)
        hidden = len(self._operations) - len(chosen)
        return Group(table, Text(f"and {hidden} more", style="dim")) if hidden else Group(table)


def choose(operations: Sequence[Operation], max_count: int) -> Sequence[Operation]:
    """Return at most ``max_count`` of the operations, in their order: the open ones, then those that ended last."""
    if len(operations) <= max_count:
        return operations
    by_weight = sorted(operations, key=lambda each: (each.open, each.ended or each.started), reverse=True)
    kept = {operation.id for operation in by_weight[: max(1, max_count)]}
    return [operation for operation in operations if operation.id in kept]


@asynccontextmanager
async def _table(
    stream: TextIO, clock: Callable[[], float], *, remains: bool, ticks: bool
) -> AsyncGenerator[OperationTable]:
    from rich.live import Live

    out = console(stream)
    progress = OperationTable(out, clock)
    # Without rich's refresh thread, which would read what the event loop is changing.
    with Live(console=out, get_renderable=progress.render, auto_refresh=False, transient=not remains) as live:
        progress.refresh = live.refresh
        if not ticks:
            yield progress
        else:
            refreshing = asyncio.create_task(_refresh(live))
            try:
                yield progress
            finally:
                refreshing.cancel()
                await asyncio.wait([refreshing])
        live.refresh()


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(_REFRESH_SECONDS)
