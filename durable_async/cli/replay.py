"""``durable-async replay``: runs today's code against a recorded history, without side effects."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TextIO

import click

from durable_async.cli import options
from durable_async.cli.connect import Target, connected, executions_of, target_options
from durable_async.cli.exits import Exit, Refused, Unreachable
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import Column, console, is_terminal, print_table
from durable_async.cli.text import dump_json, execution_name, one_line
from durable_async.cli.workflow import Handler, load, load_all
from durable_async.errors import HistoryError, StorageUnavailableError
from durable_async.replay import OpenReplayReport, ReplayReport, replay, replay_open

_BROKEN_COLUMNS = (Column("FUNCTION"), Column("NAME"), Column("REASON", fold=True))


@click.command(
    name="replay",
    cls=Command,
    examples=(
        "replay orders:fulfil order-1017.json",
        "replay orders:fulfil --execution fulfil/order-1017",
        "history fulfil/order-1017 --json | durable-async replay orders:fulfil -",
        "replay orders:fulfil --open",
    ),
)
@click.argument("handler", metavar="MODULE:HANDLER")
@click.argument("history", metavar="[HISTORY|-]", required=False, type=click.File(encoding="utf-8"))
@click.option("--execution", metavar="EXECUTION", help="Fetch the history of this execution: its ARN or FUNCTION/NAME.")
@click.option("--open", "every_open", is_flag=True, help="Replay all open executions; see below.")
@click.option("--function", metavar="NAME", help="With --open: the function's name, if it is not the handler's.")
@click.option(
    "--arn", help="The ARN of the execution whose history is given. ctx.uuid() and ctx.random() derive from it."
)
@options.as_json
@target_options
def replay_history(
    target: Target,
    handler: str,
    *,
    history: TextIO | None,
    execution: str | None,
    every_open: bool,
    function: str | None,
    arn: str | None,
    as_json: bool,
) -> None:
    """Run today's code against a recorded history, and report whether it still does the same.

    Recorded operations are answered from the record, and the code stops where the record ends. No step's body runs and
    nothing is written. HISTORY is a file, or - for stdin: the output of "history --json" or of
    "aws lambda get-durable-execution-history --include-execution-data".

    The exit code is 0 if the code replays the history, or continues after it if the execution is open. It is 1 if the
    code diverges, ends differently or skips recorded operations.

    With --open, replay every open execution of the handler's function: a check before a deploy. MODULE without
    :HANDLER stands for all handlers of the module. The executions that the code cannot continue are listed, and the
    exit code is 1 if there are any. An execution that would fail before anything new happens counts among them.
    """
    if [history is not None, execution is not None, every_open].count(True) != 1:
        raise click.UsageError("give either a HISTORY, --execution or --open")
    if function is not None and not every_open:
        raise click.UsageError("--function is for --open")
    if every_open:
        if arn is not None:
            raise click.UsageError("--arn is for a HISTORY; --open finds the executions itself")
        run(_replayed_open(target, _by_function(handler, function), named=":" in handler, as_json=as_json))
        return
    if execution is not None and arn is not None:
        raise click.UsageError("--arn is for a HISTORY; --execution names the execution itself")
    chosen = load(handler)
    if execution is not None:
        run(_fetched(target, execution, chosen.handlers[chosen.name], as_json=as_json))
    elif history is not None:
        events = read_exported(history)
        run(_replayed(chosen.handlers[chosen.name], events, arn, as_json=as_json))


def read_exported(file: TextIO) -> object:
    """Read an exported history: JSON, or one JSON object in each line.

    :raises click.UsageError: the file holds something else
    """
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the history is not UTF-8 text: {error}") from None
    try:
        return options.read_json(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [options.read_json(line) for line in lines]
        except ValueError:
            raise click.UsageError(f"the history is not JSON: {error}") from None


async def _fetched(target: Target, execution: str, handler: Handler, *, as_json: bool) -> Exit:
    async with connected(target) as client:
        arn = await client.arn(execution)
        events = [event async for event in client.events(arn)]
    return await _replayed(handler, events, arn, as_json=as_json)


def _by_function(reference: str, function: str | None) -> Mapping[str, Handler]:
    handlers = load_all(reference)
    if function is None:
        return handlers
    if len(handlers) > 1:
        raise click.UsageError("--function names the function of one handler: give MODULE:HANDLER")
    return {function: next(iter(handlers.values()))}


async def _replayed_open(target: Target, handlers: Mapping[str, Handler], *, named: bool, as_json: bool) -> Exit:
    """Replay all open executions.

    :param named: the command line names the handler, so that its function has to be known
    """
    async with executions_of(target) as service:
        report = await replay_open(service, handlers)
    if named and report.unknown:
        raise Refused(
            one_line(
                f"{target} has no function {report.unknown[0]}: give its name with --function. durable-async list "
            )
            + "shows the functions that there are"
        )
    if as_json:
        click.echo(dump_json(report.as_json()))
    else:
        _print_open(report)
    return Exit.OK if report.passed else Exit.FAILED


def _print_open(report: OpenReplayReport) -> None:
    rows = [(each.function_name, execution_name(each.execution_arn), each.reason()) for each in report.broken]
    if rows:
        print_table(_BROKEN_COLUMNS, [[one_line(cell) for cell in row] for row in rows], sys.stdout)
    if report.unknown:
        click.echo(one_line(f"not known to the service: {', '.join(report.unknown)}"))
    total = sum(report.replayed.values())
    click.echo(f"{total} open executions replayed, {len(rows)} would break")


async def _replayed(handler: Handler, history: object, arn: str | None, *, as_json: bool) -> Exit:
    try:
        report = await replay(handler, history, execution_arn=arn)
    except HistoryError as error:
        raise click.UsageError(one_line(str(error))) from None
    except StorageUnavailableError as error:
        raise Unreachable(one_line(str(error))) from None
    if as_json:
        click.echo(dump_json(report.as_json()))
    else:
        _print(report)
    return Exit.OK if report.passed else Exit.FAILED


def _print(report: ReplayReport) -> None:
    lines = [one_line(line) for line in str(report).splitlines()]
    if not is_terminal(sys.stdout):
        click.echo("\n".join(lines))
        return
    from rich.text import Text

    screen = console(sys.stdout)
    finding, colon, rest = lines[0].partition(":")
    screen.print(Text.assemble((finding, "green" if report.passed else "red"), colon + rest))
    for line in lines[1:]:
        screen.print(Text(line, style="dim"))
