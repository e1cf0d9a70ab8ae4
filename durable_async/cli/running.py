"""A command as a coroutine, and what its failures are called on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click

from durable_async.cli.exits import Exit, Refused, Unreachable
from durable_async.cli.text import one_line
from durable_async.errors import ServiceCallError
from durable_async.service.errors import ApiError

_HINTS = {
    "ResourceNotFoundException": "durable-async list and show tell what there is",
    "DurableExecutionAlreadyStartedException": "give another --name, or the input that it was started with",
}


def run(command: Coroutine[Any, Any, Exit]) -> None:
    """Run a command to its end on an event loop of its own, and leave with its exit code."""
    try:
        code = asyncio.run(command)
    except ServiceCallError as error:
        raise _call_failed(error) from None
    except ApiError as error:
        raise _refusal(error) from None
    raise click.exceptions.Exit(code)


def _call_failed(error: ServiceCallError) -> click.ClickException:
    if error.status is not None and 400 <= error.status < 500:
        hint = f"; {_HINTS[error.code]}" if error.code in _HINTS else ""
        return Refused(one_line(f"{error.message} ({error.code}){hint}"))
    if error.status is None and error.code is None:
        return Unreachable(one_line(f"{error.message}: is it running there? durable-async doctor looks into it"))
    reason = f" ({error.code}, status {error.status})" if error.status else ""
    return Unreachable(one_line(f"{error.message}{reason}"))


def _refusal(error: ApiError) -> click.ClickException:
    """By a service in this process."""
    return (Refused if error.status < 500 else Unreachable)(one_line(error.message))
