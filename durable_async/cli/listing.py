"""``durable-async list``: the executions of a function, or of all."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping

import click

from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.cli import options
from durable_async.cli.client import Client
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import STATUSES, Command
from durable_async.cli.running import run
from durable_async.cli.tables import Column, Row, is_terminal, print_table
from durable_async.cli.text import dump_json, duration, function_name, local_time, one_line, with_local_times

_FUNCTION = Column("FUNCTION", cut=True)
_COLUMNS = (Column("STATUS"), Column("STARTED", dropped=2), Column("TOOK", dropped=1), Column("NAME", cut=True))
_LAST_COLUMNS = (Column("TAGS", cut=True, dropped=3), Column("ARN"))
_COUNT_COLUMNS = (_FUNCTION, Column("EXECUTIONS"), Column("BY STATUS", fold=True))
_COUNTED = 1000  # the maximum of counted executions of a function on AWS, whose API can only list them


@click.command(
    name="list",
    cls=Command,
    examples=(
        "list",
        "list fulfil",
        "list fulfil --status FAILED --status TIMED_OUT --since 7d",
        "list --tag customer=17",
        "list --count --name-prefix order-2026",
        "list fulfil --status RUNNING --json | jq -r .DurableExecutionArn",
    ),
)
@click.argument("function", metavar="[FUNCTION]", required=False)
@options.filters
@click.option("--name", help="Only the execution with this name.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="The maximum number of executions."
)
@click.option("--oldest-first", is_flag=True, help="Instead of the newest.")
@click.option("--count", is_flag=True, help="Show the number of executions, instead of each.")
@options.as_json
@target_options
def list_executions(
    target: Target,
    function: str | None,
    *,
    filters: dict[str, object],
    name: str | None,
    limit: int,
    oldest_first: bool,
    count: bool,
    as_json: bool,
) -> None:
    """List executions, the newest first. Without FUNCTION and filters, show how many executions each function has.

    On a terminal they are shown by name. In a pipe their ARNs are added. With --json each is a line of JSON.
    """
    if name is not None:
        filters["DurableExecutionName"] = name
    options.check_filters(filters, on_aws=target.on_aws)
    if count or not (function or filters):
        run(_count(target, function, filters, as_json=as_json))
        return
    if oldest_first:
        filters["ReverseOrder"] = True
    run(_list(target, function, limit, filters, as_json=as_json))


async def _count(target: Target, function: str | None, filters: Mapping[str, object], *, as_json: bool) -> Exit:
    async with connected(target) as client:
        if target.on_aws:
            counts = {name: found async for name, found in _listed_counts(client, function, filters)}
        else:
            counts = await client.counts(function, **filters)
            if function is None and not filters:  # also those without an execution
                counts = {name: counts.get(name, Counter()) for name in sorted({*counts} | await _names(client))}
    for name, found in counts.items() if as_json else ():
        complete = not target.on_aws or found.total() < _COUNTED
        click.echo(dump_json({"FunctionName": name, "Executions": found, "Complete": complete}))
    if counts and not as_json:
        rows = [_count_row(name, found, capped=target.on_aws) for name, found in counts.items()]
        print_table(_COUNT_COLUMNS, rows, sys.stdout)
    return Exit.OK


async def _names(client: Client) -> set[str]:
    return {name async for name in client.functions()}


async def _listed_counts(
    client: Client, function: str | None, filters: JsonMembers
) -> AsyncGenerator[tuple[str, Counter[str]]]:
    for name in [function] if function is not None else sorted(await _names(client)):
        yield name, Counter([str(item["Status"]) async for item in client.executions(name, _COUNTED, **filters)])


def _count_row(function: str, found: Counter[str], *, capped: bool) -> Row:
    more = "+" if capped and found.total() == _COUNTED else ""
    by_status = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    return one_line(function), f"{found.total()}{more}", by_status


async def _list(target: Target, function: str | None, limit: int, filters: JsonMembers, *, as_json: bool) -> Exit:
    found: list[JsonObject] = []
    async with connected(target) as client:
        async for item in chosen(client, target, function, limit, filters):
            if as_json:
                click.echo(dump_json(with_local_times(item)))
            else:
                found.append(item)
    if found:
        print_executions(found, of_one_function=function is not None)
    return Exit.OK


def chosen(
    client: Client, target: Target, function: str | None, limit: int | None, filters: JsonMembers
) -> AsyncGenerator[JsonObject]:
    """Yield up to ``limit`` executions of ``function``, or of all functions."""
    if function is None and target.on_aws:
        return client.of_all_functions(limit, **filters)
    return client.executions(function, limit, **filters)


def print_executions(found: list[JsonObject], *, of_one_function: bool) -> None:
    """Print a table of executions. In a pipe, the last column is the ARN."""
    columns = [*(() if of_one_function else (_FUNCTION,)), *_COLUMNS, *_LAST_COLUMNS]
    rows = [_row(item) for item in found]
    if of_one_function:
        rows = [row[1:] for row in rows]
    if is_terminal(sys.stdout):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(columns, rows, sys.stdout)


def _row(item: JsonMembers) -> tuple[str, ...]:
    started = item["StartTimestamp"]
    tags: Mapping[str, str] = item.get("Tags") or {}
    return (
        one_line(function_name(item["FunctionArn"])),
        str(item["Status"]),
        local_time(started),
        duration(max(0.0, item.get("EndTimestamp", time.time()) - started)),
        one_line(item["DurableExecutionName"]),
        one_line(" ".join(f"{key}={value}" for key, value in tags.items())),
        one_line(item["DurableExecutionArn"]),
    )
