"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final, Generic, Never, TypeVar

import attrs
import click
from click.core import ParameterSource

from durable_async._wire.operations import CLOSED_EXECUTION, OPEN_EXECUTION
from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.service.functions.worker_process import Target

STATUSES: Final = (*OPEN_EXECUTION, *CLOSED_EXECUTION)


class Command(click.Command):
    """A command whose help ends in examples. A test runs them.

    :param examples: command lines, without the program's name
    """

    def __init__(self, name: str | None, *, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(name, **options)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{ctx.find_root().info_name} {example}\n")


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
    """Read a value that is JSON, the name of a JSON file, or ``-`` for stdin. What looks like JSON is not a file name.

    Only white space around the text is removed, so no number loses a digit.
    """
    if value is None:
        return None
    if value == "-":
        return _checked(_stdin(ctx, param), "stdin is not JSON", ctx, param)
    try:
        read_json(value)
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
    help="The event: JSON, a JSON file, or - for stdin.",
)


def _stdin(ctx: click.Context, param: click.Parameter) -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"stdin is not UTF-8: {error}", ctx, param) from None


def read_json(text: str) -> object:
    """Return the value of a JSON text.

    :raises ValueError: it is not JSON, or is nested too deeply. NaN and the infinities are not JSON
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _from_file(value: str, error: ValueError, ctx: click.Context, param: click.Parameter) -> str:
    try:
        text = Path(value).read_text(encoding="utf-8")
    except (FileNotFoundError, ValueError):
        raise click.BadParameter(f"neither JSON ({error}) nor a JSON file: {value[:80]!r}", ctx, param) from None
    except OSError as failed:
        message = f"neither JSON ({error}) nor a file that can be read: {failed.strerror}"
        raise click.BadParameter(message, ctx, param) from None
    return _checked(text, f"{value} is not JSON", ctx, param)


def _checked(text: str, complaint: str, ctx: click.Context, param: click.Parameter) -> str:
    try:
        read_json(text)
    except ValueError as error:
        raise click.BadParameter(f"{complaint}: {error}", ctx, param) from None
    return text.strip()


def plain_path(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Check that a path is not one of SQLite's URIs, and return it."""
    if value is not None and str(value).startswith("file:"):
        raise click.BadParameter(f"{value} is a URI. Give the plain path of a file.", ctx, param)
    return value


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read an ISO 8601 time (local time without an offset) or an age (``30m``, ``7d``), and return epoch seconds."""
    if value is None:
        return None
    try:
        if ago := _AGO.fullmatch(value):
            return (datetime.now().astimezone() - timedelta(**{_UNITS[ago[2]]: float(ago[1])})).timestamp()
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        message = f"'{value}' is not a time: use ISO 8601, or an age such as 30m or 7d"
        raise click.BadParameter(message, ctx, param) from None


def error_members(error_type: str | None, message: str | None, data: str | None = None) -> JsonObject:
    """Return the members of an error object, without those that are None."""
    given = {"ErrorType": error_type, "ErrorMessage": message, "ErrorData": data}
    return {name: value for name, value in given.items() if value is not None}


P = TypeVar("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


@attrs.frozen
class Named(Generic[P]):
    """A value of the form ``NAME=PLACE``."""

    name: str
    place: P


@attrs.frozen
class Timeout:
    """A value of the form ``[NAME=]SECONDS``; without a name, it is for all functions."""

    name: str | None
    seconds: int


def mapping(text: str) -> Target:
    """Read ``MODULE[:MAPPING]``."""
    module, colon, attribute = text.partition(":")
    if not module or (colon and not attribute):
        raise ValueError
    return Target(module, attribute if colon else "HANDLERS")


def function(text: str) -> Named[Target]:
    """Read ``NAME=MODULE:ATTRIBUTE``."""
    name, _, place = text.partition("=")
    module, _, attribute = place.partition(":")
    if not (name and module and attribute):
        raise ValueError
    return Named(name, Target(module, attribute))


def remote(text: str) -> Named[str]:
    """Read ``NAME=URL``."""
    name, _, url = text.partition("=")
    if not (name and url):
        raise ValueError
    return Named(name, url)


def timeout(text: str) -> Timeout:
    name, equals, seconds = text.rpartition("=")
    if equals and not name:
        raise ValueError
    value = int(seconds)
    if not 1 <= value <= 31_622_400:  # 366 days
        raise ValueError
    return Timeout(name or None, value)


def token(*, help: str) -> Callable[[F], F]:  # noqa: A002
    """Add the three ways to give a token. Other users can see one of them. The command gets it as ``token``."""

    def from_file(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
        if value is None:
            return
        if ctx.get_parameter_source("token") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--token and --token-file exclude each other")
        try:
            ctx.params["token"] = value.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise click.BadParameter(f"the file cannot be read: {error}") from None

    def warned(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None and ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
            click.echo(
                "Warning: other users of this machine can see a token on the command line. Set DURABLE_ASYNC_TOKEN, or "
                "use --token-file.",
                err=True,
            )
        return value

    def decorate(command: F) -> F:
        file_type = click.Path(exists=True, dir_okay=False, path_type=Path)
        command = click.option(
            "--token-file",
            type=file_type,
            metavar="FILE",
            expose_value=False,
            callback=from_file,
            help="A file that contains the token and nothing else.",
        )(command)
        return click.option(
            "--token", envvar="DURABLE_ASYNC_TOKEN", show_envvar=True, is_eager=True, callback=warned, help=help
        )(command)

    return decorate


def repeatable(
    flag: str,
    form: str,
    read: Callable[[str], T],
    *,
    help: str,  # noqa: A002
    name: str | None = None,
) -> Callable[[F], F]:
    """Return an option that may be repeated. ``read`` parses its values and raises ValueError for a wrong one.

    :param name: of the command's parameter; None: it is the flag's
    """

    def understand(value: str) -> T:
        try:
            return read(value)
        except ValueError:
            raise click.BadParameter(f"'{value}' is not of the form {form}") from None

    def callback(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[T]:
        return [understand(value) for value in values]

    names = [flag] if name is None else [flag, name]
    return click.option(*names, multiple=True, metavar=form, callback=callback, help=help)


@attrs.frozen
class Replacement:
    """A value of the form ``OPERATION=RESULT``; the result is JSON text."""

    operation: str
    result: str


def _replacement(text: str) -> Replacement:
    operation, equals, result = text.rpartition("=")
    if not (operation and equals):
        raise ValueError
    try:
        read_json(result)
    except ValueError as error:
        try:
            result = Path(result).read_text(encoding="utf-8").strip()
        except OSError as failed:
            raise ValueError(f"neither JSON, {error}, nor a file that can be read, {failed.strerror}") from None
        read_json(result)
    return Replacement(operation, result)


def _replacements(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[Replacement]:
    try:
        return [_replacement(value) for value in values]
    except ValueError as error:
        message = f"give OPERATION=JSON, or OPERATION=FILE with a file of JSON ({error})"
        raise click.BadParameter(message, ctx, param) from None


def fork(command: F) -> F:
    """Add the options that say what of a record a fork keeps, as ``before`` and ``replace``."""
    command = click.option(
        "--replace",
        metavar="OPERATION=JSON|FILE",
        multiple=True,
        callback=_replacements,
        help="An operation on record counts as succeeded with this result; may be repeated.",
    )(command)
    return click.option(
        "--before",
        metavar="OPERATION",
        help="The first operation that is done again, by its name or id.  [default: those that failed]",
    )(command)


@attrs.frozen
class Tag:
    """A value of the form ``KEY=VALUE``."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


def tag(text: str) -> Tag:
    """Read ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError
    return Tag(key, value)


def tags(help: str) -> Callable[[F], F]:  # noqa: A002
    """Add an option that the command gets as ``tags``."""
    return repeatable("--tag", "KEY=VALUE", tag, help=help, name="tags")


_FILTERS: Sequence[Callable[[Callable[..., None]], Callable[..., None]]] = (
    click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice(STATUSES, case_sensitive=False),
        help="Only executions with this status; may be repeated.",
    ),
    click.option("--name-prefix", metavar="TEXT", help="Only executions whose name begins with this. Not on AWS."),
    tags("Only executions with this tag; may be repeated. Not on AWS."),
    click.option(
        "--since",
        metavar="TIME",
        callback=moment,
        help="Only executions that started since: ISO 8601, or an age such as 30m or 7d.",
    ),
    click.option("--until", metavar="TIME", callback=moment, help="Only those that started at or before this time."),
)


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose executions to a command, which gets them as ``filters``: parameters of the API."""

    @wraps(command)
    def with_filters(
        *,
        statuses: Sequence[str],
        name_prefix: str | None,
        tags: Sequence[Tag],
        since: float | None,
        until: float | None,
        **rest: object,
    ) -> None:
        chosen = {
            "Statuses": [*statuses] or None,
            "NamePrefix": name_prefix,
            "Tags": [*map(str, tags)] or None,
            "StartedAfter": since,
            "StartedBefore": until,
        }
        command(filters={name: value for name, value in chosen.items() if value is not None}, **rest)

    described: Callable[..., None] = with_filters
    for option in reversed(_FILTERS):
        described = option(described)
    return described


def check_filters(filters: JsonMembers, *, on_aws: bool) -> None:
    """Refuse filters that AWS does not have.

    :raises click.UsageError: AWS Lambda does not know one of the filters
    """
    for parameter, option in (("Tags", "--tag"), ("NamePrefix", "--name-prefix")):
        if on_aws and parameter in filters:
            raise click.UsageError(f"{option}: AWS Lambda cannot filter by it")
