"""``durable-async callback``: the answers that executions wait for."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import click

from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.cli import options
from durable_async.cli.client import Client
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit, Refused
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.text import one_line, utf8
from durable_async.client.calls import closes


@attrs.frozen
class FoundCallback:
    """A callback that has no answer yet.

    :ivar id: the id with which it is answered
    :ivar name: its name in the workflow's code, or the name of the ``wait_for_callback`` that it belongs to
    """

    id: str
    name: str


@attrs.define
class Callbacks:
    """Collects the open callbacks from the events of one history, which it gets in order."""

    _names: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    _open: dict[str, FoundCallback] = attrs.field(init=False, factory=dict[str, FoundCallback])

    def take(self, event: JsonMembers) -> FoundCallback | None:
        """Return the callback that ``event`` opens, if it opens one."""
        kind, operation = event["EventType"], event.get("Id", "")
        if event.get("SubType") == "WaitForCallback":
            self._names[operation] = event.get("Name") or ""
        if kind == "CallbackStarted":
            name = self._names.get(event.get("ParentId") or "") or event.get("Name") or ""
            found = FoundCallback(event["CallbackStartedDetails"]["CallbackId"], name)
            self._open[operation] = found
            return found
        if kind.startswith("Callback"):
            self._open.pop(operation, None)
        elif closes(event):
            self._open.clear()
        return None

    @property
    def open(self) -> Sequence[FoundCallback]:
        return [*self._open.values()]


def choose(callbacks: Sequence[FoundCallback], execution: str, name: str | None) -> FoundCallback:
    """Return the callback with this name, or the only one.

    :param execution: the execution as the user named it, for messages
    :raises Refused: there is no such callback, or more than one
    """
    fitting = [each for each in callbacks if name in (None, each.name)]
    if len(fitting) == 1:
        return fitting[0]
    called = "" if name is None else f" named {name}"
    names = ", ".join(sorted({each.name or "(no name)" for each in callbacks}))
    if not callbacks:
        raise Refused(one_line(f"{execution} has no open callback: see durable-async show {execution}"))
    if not fitting:
        raise Refused(one_line(f"{execution} has no open callback{called}; open are: {names}"))
    advice = "give the name of one" if name is None else "give the id of one, which 'show' prints"
    raise Refused(one_line(f"{execution} has {len(fitting)} open callbacks{called} ({names}): {advice}"))


_callback = click.argument("callback_id", metavar="CALLBACK")
_name = click.argument("name", metavar="[NAME]", required=False)


@click.group()
def callback() -> None:
    """Answer a callback.

    CALLBACK is the id that the workflow gave out, or an execution (FUNCTION/NAME or its ARN). After an execution, give
    the callback's NAME if more than one callback is open. "show" prints the open callbacks.
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
    callback=options.json_text,
    help="JSON, a file of it, or - for stdin.  [default: none]",
)
@click.option("--text", help="The result as text, instead of JSON.")
@target_options
def succeed(target: Target, callback_id: str, name: str | None, *, result: str | None, text: str | None) -> None:
    """Answer with a result."""
    if result is not None and text is not None:
        raise click.UsageError("--result and --text exclude each other")
    answer = result if text is None else text
    given: JsonObject = {} if answer is None else {"Result": utf8(answer)}
    run(_send(target, "SendDurableExecutionCallbackSuccess", callback_id, name, given, done="succeeded"))


@callback.command(
    cls=Command,
    examples=('callback fail ID --type Rejected --message "too expensive"',),
)
@_callback
@_name
@click.option("--type", "error_type", help="The error's type, such as a class name.")
@click.option("--message", help="What went wrong.")
@click.option("--data", help="More data for the workflow.")
@target_options
def fail(
    target: Target, callback_id: str, name: str | None, *, error_type: str | None, message: str | None, data: str | None
) -> None:
    """Answer with a failure."""
    error = options.error_members(error_type, message, data)
    run(_send(target, "SendDurableExecutionCallbackFailure", callback_id, name, error, done="failed"))


@callback.command(
    cls=Command,
    examples=("callback heartbeat ID",),
)
@_callback
@_name
@target_options
def heartbeat(target: Target, callback_id: str, name: str | None) -> None:
    """Send a heartbeat: the answer is still being worked on."""
    run(_send(target, "SendDurableExecutionCallbackHeartbeat", callback_id, name, {}, done="alive"))


async def _send(
    target: Target, operation: str, reference: str, name: str | None, parameters: JsonObject, *, done: str
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
    """Return whether it names an execution. A callback's id has no colon; it may have slashes, which base64 uses."""
    from durable_async.service.model.arns import is_execution_name, is_function_name

    function, _, name = reference.rpartition("/")
    return ":" in reference or (is_function_name(function) and is_execution_name(name))
