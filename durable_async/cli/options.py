"""Reading the values of options: texts to what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs
import click

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
