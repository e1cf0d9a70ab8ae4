"""Finds a workflow by ``MODULE:HANDLER``, and the other handlers of its module."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard

import attrs
import click

from durable_async import DurableHandler
from durable_async.service.functions.modules import load_module

Handler: TypeAlias = DurableHandler[Any, object]
"""A handler whose event is JSON that the command line gives."""


@attrs.frozen
class Workflow:
    """
    :ivar name: of the function that it is registered as
    :ivar handlers: all of its module, by their names, so that it can invoke the others
    """

    name: str
    handlers: Mapping[str, Handler]


def load_all(reference: str) -> Mapping[str, Handler]:
    """Return the handlers that ``reference`` names, by their names.

    :param reference: ``MODULE:HANDLER``, or ``MODULE`` alone for all of its handlers
    :raises click.UsageError: there are none, or the module cannot be imported
    """
    if ":" in reference:
        chosen = load(reference)
        return {chosen.name: chosen.handlers[chosen.name]}
    handlers = {_name(value): value for value in vars(_module(reference)).values() if _is_handler(value)}
    if not handlers:
        raise click.UsageError(f"{reference} has no durable handler")
    return handlers


def load(reference: str) -> Workflow:
    """Return the workflow that ``reference`` names.

    :param reference: ``MODULE:HANDLER``, or ``MODULE`` alone if it has but one; instead of a module, a file ``x.py``
    :raises click.UsageError: there is no such handler, or its module cannot be imported
    """
    place, _, attribute = reference.partition(":")
    module = _module(place)
    handlers = {_name(value): value for value in vars(module).values() if _is_handler(value)}
    if not attribute:
        return Workflow(_only(place, handlers), handlers)
    try:
        chosen: object = attrgetter(attribute)(module)
    except AttributeError:
        raise click.UsageError(f"{place} has no {attribute}; its handlers: {_listed(handlers)}") from None
    if not _is_handler(chosen):
        raise click.UsageError(f"{reference} is not a durable handler: make it one with @durable_execution")
    handlers[_name(chosen)] = chosen
    return Workflow(_name(chosen), handlers)


def _is_handler(value: object) -> TypeGuard[Handler]:
    return isinstance(value, DurableHandler)


def _name(handler: Handler) -> str:
    return str(getattr(handler, "__name__", "workflow"))


def _module(place: str) -> ModuleType:
    try:
        return load_module(place)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
            raise click.UsageError(_not_found(place)) from None
        traceback.print_exc()  # the traceback shows what is wrong in the user's own code
        raise click.UsageError(f"{place} cannot be imported: {type(error).__name__}") from error


def _not_found(place: str) -> str:
    if not place:
        return "the module is missing; a handler is given as MODULE:HANDLER, as in orders:fulfil or orders.py:fulfil"
    if place.endswith(".py"):
        return f"there is no file {place}"
    module, _, attribute = place.rpartition(".")
    if hasattr(sys.modules.get(module), attribute):
        return f"there is no module {place}; did you mean {module}:{attribute}?"
    return (
        f"there is no module {place}, here or on the import path; a file is given by its path, as in orders.py:fulfil"
    )


def _only(place: str, handlers: Mapping[str, Handler]) -> str:
    if len(handlers) == 1:
        return next(iter(handlers))
    raise click.UsageError(f"say which handler of {place}: {_listed(handlers)}")


def _listed(handlers: Mapping[str, Handler]) -> str:
    return ", ".join(sorted(handlers)) or "none"
