"""Runs a command, and reports its failures and the end of an execution on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TextIO

import attrs
import click

from durable_async._wire.text import JsonMembers
from durable_async.cli.exits import Exit, Refused, Unreachable
from durable_async.cli.tables import console, is_terminal, status_style
from durable_async.cli.text import duration, error_line, one_line
from durable_async.errors import ServiceCallError
from durable_async.service.model.errors import ApiError
from durable_async.transport.base import NO_SERVICE

_HINTS = {
    "ResourceNotFoundException": "see durable-async list and show",
    "DurableExecutionAlreadyStartedException": "give another --name, or the input with which it was started",
}


@attrs.frozen
class CommandRunner:
    """Runs the coroutine of a command: it is given as the ``obj`` of the program's context, and found there."""

    run: Callable[[Coroutine[object, object, Exit]], Exit] = asyncio.run


def run(command: Coroutine[object, object, Exit]) -> None:
    """Run a command with the :class:`CommandRunner` that the program was called with, and exit with its exit code."""
    runner = click.get_current_context().find_object(CommandRunner) or CommandRunner()
    try:
        code = runner.run(command)
    except ServiceCallError as error:
        raise _call_failed(error) from None
    except ApiError as error:
        raise _refusal(error) from None
    raise click.exceptions.Exit(code)


def _call_failed(error: ServiceCallError) -> click.ClickException:
    if error.code == NO_SERVICE:
        return Unreachable(one_line(error.message))
    if error.status is not None and 400 <= error.status < 500:
        hint = f"; {_HINTS[error.code]}" if error.code in _HINTS else ""
        return Refused(one_line(f"{error.message} ({error.code}){hint}"))
    if error.status is None and error.code is None:
        return Unreachable(one_line(f"{error.message}: is it running there? Try durable-async doctor"))
    reason = f" ({error.code}, status {error.status})" if error.status else ""
    return Unreachable(one_line(f"{error.message}{reason}"))


def _refusal(error: ApiError) -> click.ClickException:
    """Return the refusal of a service in this process as an error of the command."""
    return (Refused if error.status < 500 else Unreachable)(one_line(error.message))


def report_end(execution: JsonMembers, stream: TextIO) -> Exit:
    """Write one line about an execution that is closed or paused, and return the exit code.

    :param execution: an answer of ``GetDurableExecution``
    """
    status = str(execution["Status"])
    pause: JsonMembers = execution.get("PauseDetails") or {}
    ended = execution.get("EndTimestamp") or pause.get("PauseRequestTimestamp", execution["StartTimestamp"])
    took = duration(max(0.0, ended - execution["StartTimestamp"]))
    reason = one_line(error_line(execution.get("Error")) or pause.get("Reason", ""))
    rest = f" after {took}" + (f": {reason}" if reason else "")
    if is_terminal(stream):
        from rich.text import Text

        console(stream).print(Text.assemble((status, status_style(status)), rest))
    else:
        click.echo(f"{status}{rest}", file=stream)
    return Exit.OK if status == "SUCCEEDED" else Exit.FAILED
