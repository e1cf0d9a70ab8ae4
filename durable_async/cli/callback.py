"""``durable-async callback``: the answers that executions wait for."""

from __future__ import annotations

from typing import Any

import click

from durable_async.cli import params
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.help import Command
from durable_async.cli.running import run

_callback_id = click.argument("callback_id", metavar="CALLBACK_ID")


@click.group()
def callback() -> None:
    """Answer a callback, by the id that its execution gave out: ``history`` shows it."""


@callback.command(
    cls=Command,
    examples=(
        "callback succeed ID --result '{\"approved\": true}'",
        "callback succeed ID --text yes",
    ),
)
@_callback_id
@click.option(
    "--result",
    metavar="JSON|FILE|-",
    callback=params.json_text,
    help="JSON, a file of it, or - for stdin.  [default: none]",
)
@click.option("--text", help="A result that is no JSON, as it stands.")
@target_options
def succeed(target: Target, callback_id: str, result: str | None, text: str | None) -> None:
    """Answer with a result."""
    if result is not None and text is not None:
        raise click.UsageError("--result and --text exclude each other")
    answer = result if text is None else text
    given: dict[str, Any] = {} if answer is None else {"Result": answer.encode()}
    run(_send(target, "SendDurableExecutionCallbackSuccess", callback_id, given, "succeeded"))


@callback.command(
    cls=Command,
    examples=('callback fail ID --type Rejected --message "too expensive"',),
)
@_callback_id
@click.option("--type", "error_type", help="Of the error, such as a class name.")
@click.option("--message", help="What went wrong.")
@click.option("--data", help="Anything more for the workflow.")
@target_options
def fail(target: Target, callback_id: str, error_type: str | None, message: str | None, data: str | None) -> None:
    """Answer with a failure."""
    error = params.error_members(error_type, message, data)
    run(_send(target, "SendDurableExecutionCallbackFailure", callback_id, error, "failed"))


@callback.command(
    cls=Command,
    examples=("callback heartbeat ID",),
)
@_callback_id
@target_options
def heartbeat(target: Target, callback_id: str) -> None:
    """Say that whoever is to answer is still at work."""
    run(_send(target, "SendDurableExecutionCallbackHeartbeat", callback_id, {}, "alive"))


async def _send(target: Target, operation: str, callback_id: str, parameters: dict[str, Any], done: str) -> Exit:
    async with connected(target, writes=True) as client:
        await client.call(operation, CallbackId=callback_id, **parameters)
    click.echo(done)
    return Exit.OK
