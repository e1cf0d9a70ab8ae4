"""``durable-async fork``: a new execution with the record of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import click

from durable_async._wire.text import JsonObject
from durable_async.cli import options
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command, Replacement, Tag
from durable_async.cli.replay import read_exported
from durable_async.cli.running import run
from durable_async.cli.text import dump_json


@click.command(
    cls=Command,
    examples=(
        "fork fulfil/order-1017 --before charge --name order-1017-again",
        "fork fulfil/order-1017 --replace charge='\"receipt 7\"'",
        "fork --history order.json --function fulfil",
    ),
)
@click.argument("execution", metavar="[EXECUTION]", required=False)
@click.option(
    "--history",
    metavar="FILE|-",
    type=click.File(encoding="utf-8", lazy=True),
    help="Instead of an EXECUTION: its exported history, for example of AWS Lambda.",
)
@click.option("--function", metavar="NAME", help="With --history: the function of the new execution.")
@options.fork
@click.option("--input", "payload", metavar="JSON|FILE|-", callback=options.json_text, help="Another event.")
@click.option("--name", help="Name of the new execution.  [default: a new one]")
@options.tags("Tags of the new execution; may be repeated.")
@options.as_json
@target_options
def fork(
    target: Target,
    execution: str | None,
    *,
    history: TextIO | None,
    function: str | None,
    before: str | None,
    replace: Sequence[Replacement],
    payload: str | None,
    name: str | None,
    tags: Sequence[Tag],
    as_json: bool,
) -> None:
    """Start a new execution with the record of another up to an operation, and print its ARN.

    What has ended is not done again, except what --before says, or what had failed. The other execution does not
    change. AWS Lambda has no forks.
    """
    if (execution is None) == (history is None):
        raise click.UsageError("give either an EXECUTION or --history")
    if (history is None) != (function is None):
        raise click.UsageError("--history and --function belong together")
    asked = {
        "Before": before,
        "DurableExecutionName": name,
        "Input": payload,
        "Replace": {each.operation: each.result for each in replace},
        "Tags": {tag.key: tag.value for tag in tags},
    }
    exported = None if history is None else read_exported(history)
    run(_fork(target, execution, function, exported, asked, as_json=as_json))


async def _fork(
    target: Target, execution: str | None, function: str | None, history: object, asked: JsonObject, *, as_json: bool
) -> Exit:
    async with connected(target, writes=True) as client:
        if execution is not None:
            arn = await client.arn(execution)
            answer = await client.call("ForkDurableExecution", DurableExecutionArn=arn, **asked)
        else:
            answer = await client.call("ForkDurableExecutionHistory", FunctionName=function, History=history, **asked)
    click.echo(dump_json(answer) if as_json else answer["DurableExecutionArn"])
    return Exit.OK
