"""What commands are given: JSON from three places, moments, and the options that several of them share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Never

import click

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

as_json: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)
in_full: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--full", is_flag=True, help="Do not cut long payloads."
)
execution: Callable[[Callable[..., None]], Callable[..., None]] = click.argument("execution", metavar="EXECUTION")


def json_text(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A value that is JSON, the name of a file of it, or ``-`` for stdin. What looks like JSON is JSON.

    The text is passed on as it is, so that no number loses a digit, but for blanks around it, as at a file's end.
    """
    if value is None:
        return None
    if value == "-":
        return _checked(_stdin(ctx, param), "stdin is not JSON", ctx, param)
    try:
        check_json(value)
    except ValueError as error:
        return _from_file(value, error, ctx, param)
    return value


event: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--input",
    "payload",
    metavar="JSON|FILE|-",
    default="{}",
    show_default=True,
    callback=json_text,
    help="The event: JSON, a file of it, or - for stdin.",
)


def _stdin(ctx: click.Context, param: click.Parameter) -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"stdin is not UTF-8: {error}", ctx, param) from None


def check_json(text: str) -> None:
    """:raises ValueError: it is not JSON; NaN and the infinities are none"""
    json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _from_file(value: str, error: ValueError, ctx: click.Context, param: click.Parameter) -> str:
    try:
        text = Path(value).read_text(encoding="utf-8")
    except (FileNotFoundError, ValueError):
        raise click.BadParameter(f"neither JSON ({error}) nor a file of it: {value[:80]!r}", ctx, param) from None
    except OSError as failed:
        message = f"neither JSON ({error}) nor a file that can be read: {failed.strerror}"
        raise click.BadParameter(message, ctx, param) from None
    return _checked(text, f"{value} is not JSON", ctx, param)


def _checked(text: str, complaint: str, ctx: click.Context, param: click.Parameter) -> str:
    try:
        check_json(text)
    except ValueError as error:
        raise click.BadParameter(f"{complaint}: {error}", ctx, param) from None
    return text.strip()


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Epoch seconds of an ISO 8601 time, local if it names no offset; or of so long ago: ``30m``, ``7d``."""
    if value is None:
        return None
    try:
        if ago := _AGO.fullmatch(value):
            return (datetime.now().astimezone() - timedelta(**{_UNITS[ago[2]]: float(ago[1])})).timestamp()
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        message = f"'{value}' is neither an ISO 8601 time nor so long ago, as 30m or 7d"
        raise click.BadParameter(message, ctx, param) from None


def error_members(error_type: str | None, message: str | None, data: str | None = None) -> dict[str, Any]:
    """An error object's members, without those that were not given."""
    given = {"ErrorType": error_type, "ErrorMessage": message, "ErrorData": data}
    return {name: value for name, value in given.items() if value is not None}
