"""``durable-async history``: what happened to an execution."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TextIO

import attrs
import click

from durable_async._wire.text import JsonMembers
from durable_async.cli import options
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import Column, Lines, Row, is_terminal, print_table
from durable_async.cli.text import dump_json, duration, error_line, local_time, one_line, shorten, with_local_times

_LINE_COLUMNS = (
    Column("ID", 4),
    Column("TIME", 29),
    Column("EVENT", 23),
    Column("NAME", 20),
    Column("ABOUT", fold=True),
)
_TERMINAL_COLUMNS = (
    Column("ID", 3),
    Column("AFTER", 5),
    Column("EVENT", 19),
    Column("NAME", 12),
    Column("ABOUT", cut=True),
)

_LINE_WIDTH = 120  # characters of the description of an event, unless --full is given
_TERMINAL_WIDTH = 500  # longer than a line; rich cuts it


@attrs.define
class History:
    """The rows of one history, whose events come in order or in reverse order.

    On a terminal, times are relative to ``started``, or else to the first event. In a pipe they are absolute.

    :ivar full: True to cut nothing
    """

    stream: TextIO
    full: bool = False
    started: float | None = None
    _depths: dict[str, int] = attrs.field(init=False, factory=dict[str, int])

    @property
    def columns(self) -> Sequence[Column]:
        return _TERMINAL_COLUMNS if self._relative else _LINE_COLUMNS

    @property
    def _relative(self) -> bool:
        return is_terminal(self.stream) and not self.full

    def row(self, event: JsonMembers) -> Row:
        width = None if self.full else _TERMINAL_WIDTH if self._relative else _LINE_WIDTH
        return (
            str(event["EventId"]),
            self._time(float(event["EventTimestamp"])),
            str(event["EventType"]),
            "  " * self._depth(event) + _name(event),
            shorten(about(event), width),
        )

    def _time(self, at: float) -> str:
        if not self._relative:
            return local_time(at)
        if self.started is None:
            self.started = at
        return duration(max(0.0, at - self.started))

    def _depth(self, event: JsonMembers) -> int:
        """Return the number of contexts around the operation. In reverse order, at most 1 can be known."""
        parent = event.get("ParentId")
        depth = 0 if parent is None else self._depths.get(parent, 0) + 1
        if "Id" in event:
            self._depths[event["Id"]] = depth
        return depth


def print_history(events: Sequence[JsonMembers], stream: TextIO) -> None:
    """Print a complete history."""
    rows = History(stream, started=min((event["EventTimestamp"] for event in events), default=None))
    print_table(rows.columns, [rows.row(event) for event in events], stream)


def _name(event: JsonMembers) -> str:
    """Return the name of the operation; empty for the execution, whose name the reader knows."""
    if event["EventType"].startswith("Execution"):
        return ""
    return one_line(event.get("Name") or event.get("SubType", ""))


def about(event: JsonMembers) -> str:
    """Return what an event contains besides its type and its operation."""
    details: JsonMembers = event.get(f"{event['EventType']}Details") or {}
    said = [*_attempt(details), *_facts(details), *_outcome(details)]
    return ", ".join(said)


def _attempt(details: JsonMembers) -> list[str]:
    retry: JsonMembers = details.get("RetryDetails") or {}
    attempt, delay = retry.get("CurrentAttempt", 1), retry.get("NextAttemptDelaySeconds")
    said = [f"attempt {attempt}"] if attempt > 1 or delay or ("Error" in details and retry) else []
    return said + ([f"next in {duration(delay)}"] if delay else [])


def _facts(details: JsonMembers) -> list[str]:
    said: list[str] = []
    if "Duration" in details:
        said.append(duration(details["Duration"]))
    if "FunctionName" in details:
        said.append(str(details["FunctionName"]))
    if "Cleared" in details:
        said.append(f"{len(details['Cleared'])} operations are done again")
    if "CallbackId" in details:
        said.append(str(details["CallbackId"]))
    for member, meaning in (("Timeout", "times out after"), ("HeartbeatTimeout", "heartbeats every")):
        if details.get(member):
            said.append(f"{meaning} {duration(details[member])}")
    if "RequestId" in details and "EndTimestamp" in details:
        said.append(f"took {duration(max(0.0, details['EndTimestamp'] - details['StartTimestamp']))}")
    return said


def _outcome(details: JsonMembers) -> list[str]:
    said = [
        str(payload) for member in ("Input", "Result", "Reason") if (payload := _payload(details, member)) is not None
    ]
    error = _payload(details, "Error")
    if isinstance(error, Mapping):
        said.append(error_line(error) or json.dumps(error))  # pyright: ignore[reportUnknownArgumentType]
    return said


def _payload(details: JsonMembers, member: str) -> object:
    carrier: JsonMembers = details.get(member) or {}
    return carrier.get("Payload")


@click.command(
    cls=Command,
    examples=(
        "history fulfil/order-1017",
        "history fulfil/order-1017 --follow",
        "history fulfil/order-1017 --json > history.jsonl",
    ),
)
@options.execution
@options.as_json
@click.option("--follow", "-f", is_flag=True, help="Show new events too, until the execution is closed.")
@click.option("--reverse", is_flag=True, help="The newest event first.")
@click.option("--no-data", is_flag=True, help="Do not fetch inputs, results and errors.")
@options.in_full
@target_options
def history(
    target: Target, execution: str, *, as_json: bool, follow: bool, reverse: bool, no_data: bool, full: bool
) -> None:
    """Show the history of an execution, named by its ARN or as FUNCTION/NAME.

    On a terminal, times are relative to the first event; in a pipe they are absolute. With --json each event is a line
    of JSON in the API's format, with ISO times.
    """
    if follow and reverse:
        raise click.UsageError("--follow and --reverse exclude each other")
    run(_history(target, execution, as_json=as_json, follow=follow, reverse=reverse, data=not no_data, full=full))


async def _history(
    target: Target, reference: str, *, as_json: bool, follow: bool, reverse: bool, data: bool, full: bool
) -> Exit:
    async with connected(target) as client:
        arn = await client.arn(reference)
        events = client.follow(arn, data=data) if follow else client.events(arn, data=data, reverse=reverse)
        if as_json:
            async for event in events:
                click.echo(dump_json(with_local_times(event)))
        elif follow or full:
            await _stream(events, History(sys.stdout, full=full))
        else:
            print_history([event async for event in events], sys.stdout)
    return Exit.OK


async def _stream(events: AsyncIterator[JsonMembers], rows: History) -> None:
    """Print each event as it comes."""
    lines = Lines(rows.columns, rows.stream)
    async for event in events:
        lines.print(rows.row(event))
