"""A behaviour case as its YAML file states it, and the names that are drawn for one run of it."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs
import yaml

ABSENT: Any = object()  # an expected result that is not given: any will do; null is an expectation

_GENERATED = re.compile(r"\$\{GEN_STR:(\d+)\}")
_ALPHABET = string.ascii_lowercase + string.digits


class CallbackOperation(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    HEARTBEAT = "heartbeat"


@attrs.frozen
class CallbackAction:
    """What the outside world does to the first open callback whose name fits.

    :ivar delay: in seconds
    :ivar after_invocation: only when the invocation that made the callback has ended
    """

    name: str
    operation: CallbackOperation
    payload: Any
    delay: float
    after_invocation: bool = False


@attrs.frozen
class LogExpectation:
    """How many of an execution's log records fit ``match``, and where they lie relative to others."""

    match: Mapping[str, Any]
    minimum: int
    maximum: int | None
    after: tuple[Mapping[str, Any], ...]
    before: tuple[Mapping[str, Any], ...]


@attrs.frozen
class Case:
    """One case. ``id`` is also the name of the function that it invokes."""

    suite: str
    id: str
    description: str
    input: Any
    variables: Mapping[str, str]
    asynchronous: bool
    actions: tuple[CallbackAction, ...]
    status: str | None
    result: Any
    history: tuple[Mapping[str, Any], ...]
    logs: tuple[LogExpectation, ...]
    spans: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"{self.suite}/{self.id}"


def load_cases(folders: Iterable[Path]) -> list[Case]:
    """All cases below some folders, ``<suite>/<id>.yaml``, suite by suite and in the order of their numbers.

    Of a case that is in several of them, the one in the first folder counts.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in (path for folder in folders for path in folder.glob("*/*.yaml")):
        found.setdefault((path.parent.name, path.stem), path)
    ordered = sorted(found.items(), key=lambda each: _order(each[1]))
    return [case for (suite, case_id), path in ordered for case in parse_cases(suite, case_id, _read(path))]


def parse_cases(suite: str, case_id: str, content: Mapping[str, Any]) -> Iterator[Case]:
    """Yield the case of a file; and a second one, of another function, if the file also has the execution view's spans."""
    yield parse_case(suite, case_id, content)
    if (spans := content.get("ExecutionTelemetryAssertions")) is not None:
        yield parse_case(suite, f"{case_id}-execution", {**content, "TelemetryAssertions": spans})


def parse_case(suite: str, case_id: str, content: Mapping[str, Any]) -> Case:
    """:raises ValueError: if nobody could answer the case's callbacks, as its invoke returns after the end"""
    asynchronous = bool(content.get("AsyncInvoke"))
    actions = tuple(map(_action, content.get("CallbackActions") or ()))
    if actions and not asynchronous:
        raise ValueError(f"{suite}/{case_id} has CallbackActions without AsyncInvoke")
    expected = content.get("ExpectedResult") or {}
    return Case(
        suite=suite,
        id=case_id,
        description=content["description"],
        input=content["Input"],
        variables=content.get("Variables") or {},
        asynchronous=asynchronous,
        actions=actions,
        status=expected.get("ExecutionStatus"),
        result=expected.get("Result", ABSENT),
        history=tuple(content.get("ExpectedExecutionHistory") or ()),
        logs=tuple(map(_log_expectation, content.get("ExpectedLogs") or ())),
        spans=content.get("TelemetryAssertions"),
    )


def draw_variables(variables: Mapping[str, str], source: random.Random) -> dict[str, Any]:
    """The variables of one run: literals as they stand, each ``${GEN_STR:n}`` as n characters of ``a-z0-9``."""

    def drawn(match: re.Match[str]) -> str:
        return "".join(source.choices(_ALPHABET, k=int(match[1])))

    return {name: _GENERATED.sub(drawn, str(value)) for name, value in variables.items()}


def _action(content: Mapping[str, Any]) -> CallbackAction:
    return CallbackAction(
        name=content["CallbackName"],
        operation=CallbackOperation(content["Operation"]),
        payload=content.get("Payload", ABSENT),
        delay=float(content.get("Delay", 0)),
        after_invocation=bool(content.get("AfterInvocationCompleted")),
    )


def _log_expectation(content: Mapping[str, Any]) -> LogExpectation:
    exactly = content.get("count")
    bounded = exactly is not None or "max_count" in content
    return LogExpectation(
        match=content["match"],
        minimum=content.get("min_count", 0 if bounded else 1) if exactly is None else exactly,
        maximum=content.get("max_count") if exactly is None else exactly,
        after=tuple(_anchors(content.get("after"))),
        before=tuple(_anchors(content.get("before"))),
    )


def _anchors(content: Any) -> Iterator[Mapping[str, Any]]:
    match content:
        case None:
            return
        case list():
            yield from content
        case _:
            yield content


def _read(path: Path) -> Mapping[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _order(path: Path) -> tuple[str, int]:
    return path.parent.name, int(path.stem.rpartition("-")[2])
