"""``durable-async history``: what happened to an execution."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import click

from durable_async.cli import params
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.events import History, print_history
from durable_async.cli.exits import Exit
from durable_async.cli.help import Command
from durable_async.cli.running import run
from durable_async.cli.tables import Lines
from durable_async.cli.text import dump_json, with_local_times


@click.command(
    cls=Command,
    examples=(
        "history fulfil/order-1017",
        "history fulfil/order-1017 --follow",
        "history fulfil/order-1017 --json > history.jsonl",
    ),
)
@params.execution
@params.as_json
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until the execution is closed.")
@click.option("--reverse", is_flag=True, help="The newest event first.")
@click.option("--no-data", is_flag=True, help="Do not fetch inputs, results and errors.")
@params.in_full
@target_options
def history(
    target: Target, execution: str, *, as_json: bool, follow: bool, reverse: bool, no_data: bool, full: bool
) -> None:
    """Show the history of an execution, named by its ARN or as FUNCTION/NAME.

    On a terminal times are counted from the first event, in a pipe they are points in time. With --json each event is a
    line of JSON, as the API has it, with times in ISO format.
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


async def _stream(events: AsyncIterator[Mapping[str, Any]], rows: History) -> None:
    """Event by event, as they come."""
    lines = Lines(rows.columns, rows.stream)
    async for event in events:
        lines.print(rows.row(event))
