"""Checks the members of an update against the service model: patterns, lengths, ranges, JSON types.

These checks come before all rules that depend on the execution. The messages are those of Lambda's own model
validation. Source: protocol.md, "Limits of values".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from durable_async._wire.envelope import MICROSECONDS
from durable_async._wire.limits import CALLBACK_TIMEOUT_SECONDS, DELAY_SECONDS, SCHEMA_CHARACTERS
from durable_async._wire.operations import Action, OperationType
from durable_async._wire.text import JsonMembers
from durable_async.service.model.errors import InvalidParameterValueError

Check = Callable[[Any], str | None]
"""Returns what is wrong with a value, in Lambda's words; None: nothing."""

_Path = tuple[int, *tuple[str, ...]]
"""The position of an update, from 1, and the members that lead to a value in it."""


def check_shape(updates: Sequence[Mapping[str, object]]) -> None:
    """Check the members of updates.

    :raises InvalidParameterValueError: names the first member that breaks a constraint of the model
    """
    for position, update in enumerate(updates, start=1):
        _check_members(update, _UPDATE, (position,))
        for member in ("Id", "Type", "Action"):
            if update.get(member) is None:
                _refuse("null", (position, member), "Member must not be null")


def _check_members(value: object, checks: Mapping[str, Check | Mapping[str, Check]], path: _Path) -> None:
    if not isinstance(value, (dict, Mapping)):  # a dict is recognized at once
        _refuse(value, path, "Member must be a structure")
    for member, found in cast("JsonMembers", value).items():
        check = checks.get(member)
        if check is None or found is None:
            continue
        if not callable(check):
            _check_members(found, check, (*path, member))
        elif wrong := check(found):
            _refuse(found, (*path, member), wrong)


def _refuse(value: object, path: _Path, constraint: str) -> None:
    position, *members = path
    place = ".".join([f"updates.{position}.member", *(member[0].lower() + member[1:] for member in members)])
    raise InvalidParameterValueError(
        f"1 validation error detected: Value '{str(value)[:256]}' at '{place}' failed to satisfy constraint: "
        f"{constraint}"
    )


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


def _pattern(expression: str, longest: int) -> Check:
    compiled = re.compile(expression)

    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return "Member must be a string"
        if not value:
            return "Member must have length greater than or equal to 1"
        if len(value) > longest:
            return f"Member must have length less than or equal to {longest}"
        if compiled.fullmatch(value) is None:
            return f"Member must satisfy regular expression pattern: {expression}"
        return None

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


EXTENSIONS = ("AnswerSchema", "CancelWithParent", MICROSECONDS)
"""What Lambda does not have: two members of options, and times of operations in microseconds, in envelopes too."""

_OPERATION_ID = _pattern(r"[a-zA-Z0-9-_]+", 64)
_ERROR: dict[str, Check] = {"ErrorType": _text, "ErrorMessage": _text, "ErrorData": _text, "StackTrace": _texts}
_UPDATE: dict[str, Check | Mapping[str, Check]] = {
    "Id": _OPERATION_ID,
    "ParentId": _OPERATION_ID,
    "Name": _pattern(r"[\x20-\x7E]+", 256),
    "SubType": _pattern(r"[a-zA-Z0-9-_]+", 32),
    "Type": _one_of([*OperationType]),
    "Action": _one_of([*Action]),
    "Payload": _text,
    "Error": _ERROR,
    "ContextOptions": {"ReplayChildren": _flag},
    "StepOptions": {"NextAttemptDelaySeconds": _whole(1, DELAY_SECONDS)},
    "WaitOptions": {"WaitSeconds": _whole(1, DELAY_SECONDS)},
    "CallbackOptions": {
        "TimeoutSeconds": _whole(0, CALLBACK_TIMEOUT_SECONDS),
        "HeartbeatTimeoutSeconds": _whole(0, CALLBACK_TIMEOUT_SECONDS),
        "AnswerSchema": _schema,
    },
    "ChainedInvokeOptions": {
        "FunctionName": _text,
        "TenantId": _text,
        "XAmznTraceId": _text,
        "CancelWithParent": _flag,
    },
}
