"""What counts as equal: the rules by which a history and a result are compared with a case.

Pure. Every comparison answers with sentences, one for each difference; none means equal. ``names`` are the names known
so far, the case's variables first; matching a history adds those that it binds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from .case import ABSENT

Names = dict[str, Any]

_NAME = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_PATTERN = re.compile(r"\$\{/(.*)/\}", re.DOTALL)
_PARTS_OF_WAIT_FOR_CALLBACK = {"CallbackStarted", "StepStarted", "StepSucceeded"}


def fill(template: Any, names: Mapping[str, Any]) -> Any:
    """The template with every known name put in. A name that is not known stays as it is written.

    ``${NAME}`` as a whole becomes the value itself; within a longer string, its text.
    """
    match template:
        case str():
            whole = _NAME.fullmatch(template)
            if whole and whole[1] in names:
                return names[whole[1]]
            return _NAME.sub(lambda found: as_text(names[found[1]]) if found[1] in names else found[0], template)
        case Mapping():
            return {key: fill(value, names) for key, value in template.items()}
        case list():
            return [fill(value, names) for value in template]
        case _:
            return template


def fill_pattern(pattern: str, names: Mapping[str, Any]) -> str:
    """A regular expression in which every known name stands for its literal text."""
    return _NAME.sub(lambda found: re.escape(as_text(names[found[1]])) if found[1] in names else found[0], pattern)


def as_text(value: Any) -> str:
    """A value as a regular expression sees it: a string as it is, a time in ISO format, anything else as JSON."""
    match value:
        case str():
            return value
        case datetime():
            return value.isoformat()
        case _:
            return json.dumps(value, default=str)


def same(expected: Any, actual: Any) -> bool:
    """Equality of JSON values: ``1`` and ``1.0`` are the same number, ``true`` is none."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    match expected, actual:
        case (Mapping(), Mapping()):
            return expected.keys() == actual.keys() and all(same(expected[key], actual[key]) for key in expected)
        case (list(), list()):
            return len(expected) == len(actual) and all(map(same, expected, actual))
        case _:
            return bool(expected == actual)


def fits_name(pattern: str, name: str | None, names: Mapping[str, Any]) -> bool:
    """Whether a callback's name is the one that an action asks for: a literal, ``*`` or ``${/regex/}``."""
    return pattern == "*" or not list(compare(pattern, name, dict(names)))


def compare(expected: Any, actual: Any, names: Names, path: str = "") -> Iterator[str]:
    """The differences between an expected value and the actual one, in part: keys that are not expected are ignored."""
    match expected:
        case "*":
            return
        case str() if pattern := _PATTERN.fullmatch(expected):
            if not re.search(fill_pattern(pattern[1], names), as_text(actual)):
                yield f"{path}: {_short(actual)} does not match /{pattern[1]}/"
        case str() if (name := _NAME.fullmatch(expected)) and name[1] not in names:
            names[name[1]] = actual
        case Mapping() if not expected:
            return
        case Mapping():
            yield from _compare_object(expected, actual, names, path)
        case list():
            yield from _compare_list(expected, actual, names, path)
        case _:
            if not same(wanted := fill(expected, names), actual):
                yield f"{path}: expected {_short(wanted)}, found {_short(actual)}"


def match_history(
    expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]], names: Names
) -> list[str]:
    """The differences between the listed events and those that happened, paired by ``EventId``."""
    events = {event["EventId"]: event for event in actual}
    differences: list[str] = []
    for event in sorted(expected, key=lambda event: event["EventId"]):
        path = f"event {event['EventId']}"
        if found := events.get(event["EventId"]):
            differences += compare(event, found, names, path)
        else:
            differences.append(f"{path}: expected {event['EventType']}, but there is no such event")
    return differences


def match_result(
    expected_status: str | None, expected: Any, status: str, result: str | None, names: Names
) -> list[str]:
    """The differences between the expected outcome and an execution's status and ``Result`` text.

    The result is looked at only if the execution succeeded.
    """
    if expected_status is None:
        return []
    if status != expected_status:
        return [f"status: expected {expected_status}, found {status}"]
    if status != "SUCCEEDED" or expected is ABSENT:
        return []
    try:
        value = json.loads(result) if result is not None else None
    except ValueError:
        return [f"result: {_short(result)} is not JSON"]
    if same(wanted := fill(expected, names), value):
        return []
    return [f"result: expected {_short(wanted)}, found {_short(value)}"]


def name_parts_of_wait_for_callback(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events, where a nameless part of a wait-for-callback has its parent's name."""
    parents = {
        event["Id"]: event["Name"]
        for event in events
        if event.get("SubType") == "WaitForCallback" and event.get("Id") and event.get("Name")
    }

    def named(event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event.get("Name") or event["EventType"] not in _PARTS_OF_WAIT_FOR_CALLBACK:
            return event
        name = parents.get(event.get("ParentId"))
        return {**event, "Name": name} if name else event

    return [named(event) for event in events]


def _compare_object(expected: Mapping[str, Any], actual: Any, names: Names, path: str) -> Iterator[str]:
    if not isinstance(actual, Mapping):
        yield f"{path}: expected an object, found {_short(actual)}"
        return
    for key, value in expected.items():
        if key == "$absent":
            yield from (f"{path}: {'.'.join(there)} is there" for there in value if _is_there(actual, there))
        elif key in actual:
            yield from compare(value, actual[key], names, f"{path}.{key}")
        else:
            yield f"{path}.{key}: expected {_short(value)}, but there is no such key"


def _is_there(value: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


def _compare_list(expected: list[Any], actual: Any, names: Names, path: str) -> Iterator[str]:
    if not isinstance(actual, list) or len(actual) != len(expected):
        yield f"{path}: expected a list of {len(expected)}, found {_short(actual)}"
        return
    for index, (value, found) in enumerate(zip(expected, actual, strict=True)):
        yield from compare(value, found, names, f"{path}[{index}]")


def _short(value: Any, limit: int = 200) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
