"""``durable-async show``: everything about one execution."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from durable_async._wire.text import JsonMembers
from durable_async.cli import options
from durable_async.cli.callback import Callbacks
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.operations import COLUMNS, Operations
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import console, is_terminal, print_table, status_style
from durable_async.cli.text import dump_json, duration, function_name, local_time, one_line, shorten, with_local_times

_WIDTH = 400  # of a payload
_ABOUT = 80  # of the description of an operation, in a pipe

_TIMES = {
    "StartTimestamp": "started",
    "EndTimestamp": "ended",
    "ExpectedExecutionTimeoutTimestamp": "times out",
}


@click.command(
    cls=Command,
    examples=(
        "show fulfil/order-1017",
        "show fulfil/order-1017 --json | jq .Status",
    ),
)
@options.execution
@options.as_json
@options.in_full
@target_options
def show(target: Target, execution: str, *, as_json: bool, full: bool) -> None:
    """Show an execution, named by its ARN or as FUNCTION/NAME: state, input, result or error, and operations.

    Open callbacks are shown with their whole ids. On a terminal, ARNs are shown with --full only.
    """
    run(_show(target, execution, as_json=as_json, full=full))


async def _show(target: Target, reference: str, *, as_json: bool, full: bool) -> Exit:
    async with connected(target) as client:
        arn = await client.arn(reference)
        execution = await client.execution(arn)
        if as_json:
            click.echo(dump_json(with_local_times(execution)))
            return Exit.OK
        operations, callbacks = Operations(), Callbacks()
        async for event in client.events(arn):
            operations.take(event)
            callbacks.take(event)
    _print_fields(_fields(execution, everything=full or not is_terminal(sys.stdout)), full=full)
    for callback in callbacks.open:
        click.echo(f"\ncallback {one_line(callback.name)} is open; its id:\n{one_line(callback.id)}")
    if len(operations):
        width = None if full or is_terminal(sys.stdout) else _ABOUT
        click.echo()
        print_table(COLUMNS, [each.row(time.time(), width) for each in operations], sys.stdout)
    return Exit.OK


def _print_fields(known: Iterator[tuple[str, str]], *, full: bool) -> None:
    fields = [(name, one_line(value) if full else shorten(value, _WIDTH)) for name, value in known]
    width = max(len(name) for name, _ in fields)
    if not is_terminal(sys.stdout):
        for name, value in fields:
            click.echo(f"{name:<{width}}  {value}".rstrip())
        return
    from rich.text import Text

    out = console(sys.stdout)
    for name, value in fields:
        shown = Text.assemble((f"{name:<{width}}", "bold"), "  ", (value, status_style(value)))
        out.print(shown, soft_wrap=True)


def _fields(execution: JsonMembers, *, everything: bool) -> Iterator[tuple[str, str]]:
    """Return names and values to print.

    :param everything: True to include the ARNs, which are long and rarely needed
    """
    yield "execution", f"{function_name(execution['FunctionArn'])}/{execution['DurableExecutionName']}"
    if everything:
        yield "arn", execution["DurableExecutionArn"]
        yield "function", execution["FunctionArn"]
    yield "status", execution["Status"]
    if tags := execution.get("Tags"):
        yield "tags", " ".join(f"{key}={value}" for key, value in tags.items())
    for member, name in _TIMES.items():
        if member in execution:
            yield name, local_time(execution[member])
    yield "took", duration(max(0.0, execution.get("EndTimestamp", time.time()) - execution["StartTimestamp"]))
    if pause := execution.get("PauseDetails"):
        yield "paused", f"{local_time(pause['PauseRequestTimestamp'])} {pause.get('Reason', '')}".rstrip()
        yield "its timeout", "is paused too" if pause.get("ExecutionTimeoutPaused") else "goes on"
    config: JsonMembers = execution.get("DurableConfig") or {}
    if "ExecutionTimeout" in config:
        yield "timeout", duration(config["ExecutionTimeout"])
    if "RetentionPeriodInDays" in config:
        yield "kept for", f"{config['RetentionPeriodInDays']} days"
    for member, name in (("InputPayload", "input"), ("Result", "result")):
        if execution.get(member) is not None:
            yield name, execution[member]
    yield from _error_fields(execution.get("Error") or {})


def _error_fields(error: JsonMembers) -> Iterator[tuple[str, str]]:
    for member, name in (("ErrorType", "error"), ("ErrorMessage", "message"), ("ErrorData", "data")):
        if error.get(member):
            yield name, error[member]
    for place in error.get("StackTrace") or ():
        for number, part in enumerate(str(place).splitlines()):
            yield ("at" if number == 0 else ""), part
