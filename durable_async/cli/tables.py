"""Prints tables on a terminal or into a pipe.

On a terminal, rich cuts long text to the width and colours a status. Elsewhere a row is one line with spaces between
the columns, whatever the reader is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TextIO

import attrs
import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Row = Sequence[str]

_GAP = 2  # spaces between columns
_NARROWEST = 10  # the minimum of a column on a narrow screen

_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SUCCEEDED": "green",
        "FAILED": "red",
        "TIMED_OUT": "red",
        "STOPPED": "red",
        "CANCELLED": "dim",
        "RUNNING": "cyan",
        "STARTED": "cyan",
        "PENDING": "yellow",
        "PAUSED": "yellow",
        "PAUSING": "yellow",
    }
)
_ENDINGS = {
    "Succeeded": "green",
    "Failed": "red",
    "TimedOut": "red",
    "Stopped": "red",
    "Completed": "dim",
    "Paused": "yellow",
    "Redriven": "yellow",
}


@attrs.frozen
class Column:
    """A column of a table.

    :ivar width: its minimum width in characters
    :ivar cut: True to cut it on a narrow terminal
    :ivar fold: True to continue it on more lines on a narrow terminal
    :ivar dropped: the order in which columns are left out on a narrow terminal, the lowest number first; 0: never
    """

    title: str
    width: int = 0
    cut: bool = False
    fold: bool = False
    dropped: int = 0

    @property
    def gives_way(self) -> bool:
        return self.cut or self.fold


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def print_table(columns: Sequence[Column], rows: Sequence[Row], stream: TextIO) -> None:
    """Print a complete table."""
    if is_terminal(stream):
        screen = console(stream)
        screen.print(rich_table(columns, rows, screen.width))
        return
    titles = [column.title for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    fitted = [attrs.evolve(column, width=width) for column, width in zip(columns, widths, strict=True)]
    for row in (titles, *rows):
        click.echo(_line(fitted, row), file=stream)


class Lines:
    """Prints rows one by one, as they come, below the titles."""

    def __init__(self, columns: Sequence[Column], stream: TextIO) -> None:
        self._columns = columns
        self._stream = stream
        self._console = console(stream) if is_terminal(stream) else None
        self.print([column.title for column in columns])

    def print(self, row: Row) -> None:
        if self._console is None:
            click.echo(_line(self._columns, row), file=self._stream)
        else:
            self._console.print(rich_table(self._columns, [row], self._console.width, titles=False))


def console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def rich_table(columns: Sequence[Column], rows: Sequence[Row], width: int, *, titles: bool = True) -> Table:
    """Return a table for the terminal.

    :param width: of the screen. A column that may be cut or folded gets the rest
    """
    from rich.cells import cell_len
    from rich.table import Table

    shown = [[column.title for column in columns], *rows] if titles else rows
    wanted = [max(column.width, *(cell_len(row[index]) for row in shown)) for index, column in enumerate(columns)]
    kept = fitting(columns, wanted, width)
    columns, wanted = [columns[index] for index in kept], [wanted[index] for index in kept]
    sizes = shared(columns, wanted, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=titles, header_style="bold")
    for column, size in zip(columns, sizes, strict=True):
        table.add_column(
            column.title,
            no_wrap=not column.fold,
            overflow="fold" if column.fold else "ellipsis",
            width=size,
        )
    for row in rows:
        table.add_row(*(_coloured(row[index]) for index in kept))
    return table


def fitting(columns: Sequence[Column], wanted: Sequence[int], width: int) -> Sequence[int]:
    """Return the positions of the columns that are shown."""
    kept = [*range(len(columns))]
    by_rank = sorted((index for index in kept if columns[index].dropped), key=lambda index: columns[index].dropped)
    for index in by_rank:
        if sum(_least(columns[each], wanted[each]) + _GAP for each in kept) <= width:
            break
        kept.remove(index)
    return kept


def shared(columns: Sequence[Column], wanted: Sequence[int], width: int) -> Sequence[int]:
    """Return the width of each column. Those that may be cut or folded share the rest, the first one first."""
    left = width - sum(_least(column, size) + _GAP for column, size in zip(columns, wanted, strict=True))
    sizes: list[int] = []
    for column, size in zip(columns, wanted, strict=True):
        more = max(0, min(size - _least(column, size), left))
        left -= more
        sizes.append(_least(column, size) + more)
    return sizes


def _least(column: Column, wanted: int) -> int:
    return min(wanted, _NARROWEST) if column.gives_way else wanted


def _line(columns: Sequence[Column], row: Row) -> str:
    padded = (cell.ljust(column.width) for column, cell in zip(columns, row, strict=True))
    return (" " * _GAP).join(padded).rstrip()


def status_style(word: str) -> str:
    """Return the style of a status or an event type; empty for other text."""
    return _COLOURS.get(word) or next((colour for end, colour in _ENDINGS.items() if word.endswith(end)), "")


def _coloured(cell: str) -> Text:
    from rich.text import Text

    return Text(cell, style=status_style(cell))
