"""``durable-async callback``: the answers that executions wait for."""

from __future__ import annotations

from typing import Any

import click

from durable_async.cli import params
from durable_async.cli.client import Client
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.help import Command
from durable_async.cli.open_callbacks import Callbacks, choose
from durable_async.cli.running import run
from durable_async.cli.streams import utf8

_callback = click.argument("callback_id", metavar="CALLBACK")
_name = click.argument("name", metavar="[NAME]", required=False)


@click.group()
def callback() -> None:
    """Answer a callback.

    CALLBACK is the id that the workflow gave out; or an execution, as FUNCTION/NAME or by its ARN, followed by the
    callback's NAME if more than one is open. "show" prints what is open.
    """


@callback.command(
    cls=Command,
    examples=(
        "callback succeed fulfil/order-1017 approval --result '{\"approved\": true}'",
        "callback succeed ID --text yes",
    ),
)
@_callback
@_name
@click.option(
    "--result",
    metavar="JSON|FILE|-",
    callback=params.json_text,
    help="JSON, a file of it, or - for stdin.  [default: none]",
)
@click.option("--text", help="A result that is no JSON, as it stands.")
@target_options
def succeed(target: Target, callback_id: str, name: str | None, *, result: str | None, text: str | None) -> None:
    """Answer with a result."""
    if result is not None and text is not None:
        raise click.UsageError("--result and --text exclude each other")
    answer = result if text is None else text
    given: dict[str, Any] = {} if answer is None else {"Result": utf8(answer)}
    run(_send(target, "SendDurableExecutionCallbackSuccess", callback_id, name, given, done="succeeded"))


@callback.command(
    cls=Command,
    examples=('callback fail ID --type Rejected --message "too expensive"',),
)
@_callback
@_name
@click.option("--type", "error_type", help="Of the error, such as a class name.")
@click.option("--message", help="What went wrong.")
@click.option("--data", help="Anything more for the workflow.")
@target_options
def fail(
    target: Target, callback_id: str, name: str | None, *, error_type: str | None, message: str | None, data: str | None
) -> None:
    """Answer with a failure."""
    error = params.error_members(error_type, message, data)
    run(_send(target, "SendDurableExecutionCallbackFailure", callback_id, name, error, done="failed"))


@callback.command(
    cls=Command,
    examples=("callback heartbeat ID",),
)
@_callback
@_name
@target_options
def heartbeat(target: Target, callback_id: str, name: str | None) -> None:
    """Say that whoever is to answer is still at work."""
    run(_send(target, "SendDurableExecutionCallbackHeartbeat", callback_id, name, {}, done="alive"))


async def _send(
    target: Target, operation: str, reference: str, name: str | None, parameters: dict[str, Any], *, done: str
) -> Exit:
    async with connected(target, writes=True) as client:
        callback_id = await _meant(client, reference, name)
        await client.call(operation, CallbackId=callback_id, **parameters)
    click.echo(done)
    return Exit.OK


async def _meant(client: Client, reference: str, name: str | None) -> str:
    if name is None and not _is_execution(reference):
        return reference
    callbacks = Callbacks()
    async for event in client.events(await client.arn(reference)):
        callbacks.take(event)
    return choose(callbacks.open, reference, name).id


def _is_execution(reference: str) -> bool:
    """Whether it is no callback's id. An id has no colon; it may have slashes, as base64 has."""
    from durable_async.service.arns import is_execution_name, is_function_name

    function, _, name = reference.rpartition("/")
    return ":" in reference or (is_function_name(function) and is_execution_name(name))
