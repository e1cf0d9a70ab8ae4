"""Reading the values of options: texts to what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import click
from click.core import ParameterSource

from durable_async.service.worker_process import Target

P = TypeVar("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen
class Named(Generic[P]):
    """``NAME=PLACE``"""

    name: str
    place: P


@attrs.frozen
class Timeout:
    """``[NAME=]SECONDS``; without a name, for all functions."""

    name: str | None
    seconds: int


def mapping(text: str) -> Target:
    """``MODULE[:MAPPING]``"""
    module, colon, attribute = text.partition(":")
    if not module or (colon and not attribute):
        raise ValueError
    return Target(module, attribute if colon else "HANDLERS")


def function(text: str) -> Named[Target]:
    """``NAME=MODULE:ATTRIBUTE``"""
    name, _, place = text.partition("=")
    module, _, attribute = place.partition(":")
    if not (name and module and attribute):
        raise ValueError
    return Named(name, Target(module, attribute))


def remote(text: str) -> Named[str]:
    """``NAME=URL``"""
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
    """Three ways to give a token, one of which others can see. The command gets it as ``token``."""

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
            help="A file that holds the token, and nothing else.",
        )(command)
        return click.option(
            "--token", envvar="DURABLE_ASYNC_TOKEN", show_envvar=True, is_eager=True, callback=warned, help=help
        )(command)

    return decorate


def repeatable(flag: str, form: str, read: Callable[[str], T], *, help: str) -> Callable[[F], F]:  # noqa: A002
    """An option that may be given often, whose values ``read`` understands or refuses with a ValueError."""

    def understand(value: str) -> T:
        try:
            return read(value)
        except ValueError:
            raise click.BadParameter(f"'{value}' is not of the form {form}") from None

    def callback(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[T]:
        return [understand(value) for value in values]

    return click.option(flag, multiple=True, metavar=form, callback=callback, help=help)
