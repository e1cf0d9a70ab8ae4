"""``durable-async replay``: runs today's code against a recorded history, without side effects."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from durable_async.cli import options
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit, Unreachable
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import console, is_terminal
from durable_async.cli.text import dump_json, one_line
from durable_async.cli.workflow import Handler, load
from durable_async.errors import HistoryError, StorageUnavailableError
from durable_async.replay import ReplayReport, replay


@click.command(
    name="replay",
    cls=Command,
    examples=(
        "replay orders:fulfil order-1017.json",
        "replay orders:fulfil --execution fulfil/order-1017",
        "history fulfil/order-1017 --json | durable-async replay orders:fulfil -",
    ),
)
@click.argument("handler", metavar="MODULE:HANDLER")
@click.argument("history", metavar="[HISTORY|-]", required=False, type=click.File(encoding="utf-8"))
@click.option("--execution", metavar="EXECUTION", help="Fetch the history of this execution: its ARN or FUNCTION/NAME.")
@click.option(
    "--arn", help="The ARN of the execution whose history is given. ctx.uuid() and ctx.random() derive from it."
)
@options.as_json
@target_options
def replay_history(
    target: Target, handler: str, *, history: Any, execution: str | None, arn: str | None, as_json: bool
) -> None:
    """Run today's code against a recorded history, and report whether it still does the same.

    Recorded operations are answered from the record, and the code stops where the record ends. No step's body runs and
    nothing is written. HISTORY is a file, or - for stdin: the output of "history --json" or of
    "aws lambda get-durable-execution-history --include-execution-data".

    The exit code is 0 if the code replays the history, or continues after it if the execution is open. It is 1 if the
    code diverges, ends differently or skips recorded operations.
    """
    if (history is None) == (execution is None):
        raise click.UsageError("give either a HISTORY or --execution")
    if execution is not None and arn is not None:
        raise click.UsageError("--arn is for a HISTORY; --execution names the execution itself")
    chosen = load(handler)
    if execution is not None:
        run(_fetched(target, execution, chosen.handlers[chosen.name], as_json=as_json))
    else:
        events = _read(history.read())
        run(_replayed(chosen.handlers[chosen.name], events, arn, as_json=as_json))


def _read(text: str) -> Any:
    """Read JSON, or one JSON object in each line."""
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise click.UsageError(f"the history is not JSON: {error}") from None


async def _fetched(target: Target, execution: str, handler: Handler, *, as_json: bool) -> Exit:
    async with connected(target) as client:
        arn = await client.arn(execution)
        events = [event async for event in client.events(arn)]
    return await _replayed(handler, events, arn, as_json=as_json)


async def _replayed(handler: Handler, history: Any, arn: str | None, *, as_json: bool) -> Exit:
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
