"""``durable-async list``: the executions of a function."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from durable_async.cli import options
from durable_async.cli.client import CLOSED
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import Column, Row, is_terminal, print_table
from durable_async.cli.text import dump_json, duration, local_time, one_line, with_local_times

STATUSES: Final = ("RUNNING", "PAUSING", "PAUSED", *sorted(CLOSED))

_COLUMNS = (Column("STATUS"), Column("STARTED"), Column("TOOK"), Column("NAME", cut=True))
_FUNCTION_COLUMNS = (Column("FUNCTION", cut=True), Column("EXECUTIONS"), Column("BY STATUS", fold=True))
_COUNTED = 1000  # the maximum of counted executions of a function, since the API can only list them


@click.command(
    name="list",
    cls=Command,
    examples=(
        "list",
        "list fulfil",
        "list fulfil --status FAILED --status TIMED_OUT --since 7d",
        "list fulfil --status RUNNING --json | jq -r .DurableExecutionArn",
    ),
)
@click.argument("function", metavar="[FUNCTION]", required=False)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only executions with this status; may be repeated.",
)
@click.option("--name", help="Only the execution with this name.")
@click.option(
    "--since",
    metavar="TIME",
    callback=options.moment,
    help="Only executions that started since: ISO 8601, or an age such as 30m or 7d.",
)
@click.option("--until", metavar="TIME", callback=options.moment, help="Started then or before.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="The maximum number of executions."
)
@click.option("--oldest-first", is_flag=True, help="Instead of the newest.")
@options.as_json
@target_options
def list_executions(
    target: Target,
    function: str | None,
    *,
    statuses: Sequence[str],
    name: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    oldest_first: bool,
    as_json: bool,
) -> None:
    """List the executions of a function, the newest first; without FUNCTION, the functions and their counts.

    On a terminal they are shown by name. In a pipe their ARNs are added. With --json each is a line of JSON.
    """
    filters: dict[str, Any] = {
        "Statuses": [*statuses] or None,
        "DurableExecutionName": name,
        "StartedAfter": since,
        "StartedBefore": until,
        "ReverseOrder": oldest_first or None,
    }
    if function is not None:
        run(_list(target, function, limit, filters, as_json=as_json))
    elif any(value is not None for value in filters.values()):
        raise click.UsageError("give a FUNCTION; 'durable-async list' shows all functions")
    else:
        run(_list_functions(target, as_json=as_json))


async def _list_functions(target: Target, *, as_json: bool) -> Exit:
    rows: list[Row] = []
    async with connected(target) as client:
        async for function in client.functions():
            found = Counter([str(item["Status"]) async for item in client.executions(function, _COUNTED)])
            if as_json:
                row = {"FunctionName": function, "Executions": found, "Complete": found.total() < _COUNTED}
                click.echo(dump_json(row))
            else:
                rows.append(_function_row(function, found))
    if rows:
        print_table(_FUNCTION_COLUMNS, rows, sys.stdout)
    return Exit.OK


def _function_row(function: str, found: Counter[str]) -> Row:
    more = "+" if found.total() == _COUNTED else ""
    by_status = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    return one_line(function), f"{found.total()}{more}", by_status


async def _list(target: Target, function: str, limit: int, filters: Mapping[str, Any], *, as_json: bool) -> Exit:
    rows: list[Row] = []
    with_arns = not is_terminal(sys.stdout)
    async with connected(target) as client:
        async for item in client.executions(function, limit, **filters):
            if as_json:
                click.echo(dump_json(with_local_times(item)))
            else:
                rows.append(_row(item, with_arn=with_arns))
    if rows:
        print_table((*_COLUMNS, Column("ARN")) if with_arns else _COLUMNS, rows, sys.stdout)
    return Exit.OK


def _row(item: Mapping[str, Any], *, with_arn: bool) -> Row:
    started = item["StartTimestamp"]
    shown = (
        str(item["Status"]),
        local_time(started),
        duration(max(0.0, item.get("EndTimestamp", time.time()) - started)),
        one_line(item["DurableExecutionName"]),
    )
    return (*shown, one_line(item["DurableExecutionArn"])) if with_arn else shown
