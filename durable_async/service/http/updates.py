"""Checks the members of an update against the service model: patterns, lengths, ranges, JSON types.

The SDK of this package sends no others, so those of handlers in this process need no check. The messages are those of
Lambda's own model validation, which comes before all rules that depend on the execution. Source: protocol.md, "Limits
of values".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

import attrs

from durable_async._wire.limits import CALLBACK_TIMEOUT_SECONDS, DELAY_SECONDS, SCHEMA_CHARACTERS
from durable_async._wire.operations import Action, OperationType
from durable_async._wire.text import JsonMembers
from durable_async.service.model.errors import InvalidParameterValueError


@attrs.frozen
class _Misfit:
    """A member breaks a constraint.

    :ivar path: the members that lead to it
    :ivar constraint: what is wrong with it, in Lambda's words
    """

    path: tuple[str, ...]
    value: object
    constraint: str


Check = Callable[[Any], str | _Misfit | None]
"""Returns what is wrong with a value, or with a member of it; None: nothing."""


def check_updates(updates: Sequence[Mapping[str, object]]) -> None:
    """Check the members of updates.

    :raises InvalidParameterValueError: names the first member that breaks a constraint of the model
    """
    for position, update in enumerate(updates, start=1):
        if (wrong := _UPDATE(update)) is not None:
            _refuse(position, wrong if isinstance(wrong, _Misfit) else _Misfit((), update, wrong))
        found = [*map(update.get, _REQUIRED)]
        if None in found:
            _refuse(position, _Misfit((_REQUIRED[found.index(None)],), "null", "Member must not be null"))


def _refuse(position: int, wrong: _Misfit) -> NoReturn:
    place = ".".join([f"updates.{position}.member", *(member[0].lower() + member[1:] for member in wrong.path)])
    raise InvalidParameterValueError(
        f"1 validation error detected: Value '{str(wrong.value)[:256]}' at '{place}' failed to satisfy constraint: "
        f"{wrong.constraint}"
    )


def _structure(checks: Mapping[str, Check]) -> Check:
    """Return a check of a structure with these checks of its members."""

    def check(value: object) -> str | _Misfit | None:
        if not isinstance(value, (dict, Mapping)):  # a dict is recognized at once
            return "Member must be a structure"
        for member, found in cast("JsonMembers", value).items():
            if found is None or (of_member := checks.get(member)) is None:
                continue
            if (wrong := of_member(found)) is not None:
                if isinstance(wrong, _Misfit):
                    return attrs.evolve(wrong, path=(member, *wrong.path))
                return _Misfit((member,), found, wrong)
        return None

    return check


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "Member must be a string"


def _schema(value: object) -> str | None:
    if not isinstance(value, str):
        return "Member must be a string"
    if len(value) > SCHEMA_CHARACTERS:
        return f"Member must have length less than or equal to {SCHEMA_CHARACTERS}"
    try:
        schema = json.loads(value)
    except (ValueError, RecursionError):
        schema = None
    return None if isinstance(schema, dict) else "Member must be a JSON Schema"


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "Member must be a boolean"


def _texts(value: object) -> str | None:
    if not isinstance(value, list):
        return "Member must be a list"
    lines = cast("list[object]", value)
    return None if all(isinstance(line, str) for line in lines) else "Member must be a list of strings"


def _pattern(characters: str, longest: int) -> Check:
    """Return a check of a text of 1 to ``longest`` characters, all of a class that is given as a regular expression."""
    fits = re.compile(f"{characters}{{1,{longest}}}").fullmatch

    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return "Member must be a string"
        if fits(value):
            return None
        if not value:
            return "Member must have length greater than or equal to 1"
        if len(value) > longest:
            return f"Member must have length less than or equal to {longest}"
        return f"Member must satisfy regular expression pattern: {characters}+"

    return check


def _whole(minimum: int, maximum: int) -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "Member must be an integer"
        if value < minimum:
            return f"Member must have value greater than or equal to {minimum}"
        if value > maximum:
            return f"Member must have value less than or equal to {maximum}"
        return None

    return check


def _one_of(values: Sequence[str]) -> Check:
    known = frozenset(values)

    def check(value: object) -> str | None:
        good = isinstance(value, str) and value in known
        return None if good else f"Member must satisfy enum value set: [{', '.join(values)}]"

    return check


_OPERATION_ID = _pattern(r"[a-zA-Z0-9-_]", 64)
_REQUIRED = ("Id", "Type", "Action")
_UPDATE = _structure(
    {
        "Id": _OPERATION_ID,
        "ParentId": _OPERATION_ID,
        "Name": _pattern(r"[\x20-\x7E]", 256),
        "SubType": _pattern(r"[a-zA-Z0-9-_]", 32),
        "Type": _one_of([*OperationType]),
        "Action": _one_of([*Action]),
        "Payload": _text,
        "Error": _structure(
            {"ErrorType": _text, "ErrorMessage": _text, "ErrorData": _text, "StackTrace": _texts},
        ),
        "ContextOptions": _structure({"ReplayChildren": _flag}),
        "StepOptions": _structure({"NextAttemptDelaySeconds": _whole(1, DELAY_SECONDS)}),
        "WaitOptions": _structure({"WaitSeconds": _whole(1, DELAY_SECONDS)}),
        "CallbackOptions": _structure(
            {
                "TimeoutSeconds": _whole(0, CALLBACK_TIMEOUT_SECONDS),
                "HeartbeatTimeoutSeconds": _whole(0, CALLBACK_TIMEOUT_SECONDS),
                "AnswerSchema": _schema,
            }
        ),
        "ChainedInvokeOptions": _structure(
            {"FunctionName": _text, "TenantId": _text, "XAmznTraceId": _text, "CancelWithParent": _flag}
        ),
    }
)
