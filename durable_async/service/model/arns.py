"""Builds and parses the ARNs of functions and executions.

Source: the patterns of the ``lambda`` service model (protocol.md, "Limits of values" and "Names and ARNs").
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

LATEST = "$LATEST"

_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,140}")
_EXECUTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REFERENCE = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z0-9-]+):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9_-]+))?"
)
_EXECUTION = re.compile(
    r"(?P<function>arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+"
    r":(?:\$LATEST(?:\.PUBLISHED)?|[0-9]+))"
    r"/durable-execution/(?P<name>[a-zA-Z0-9_-]+)/(?P<id>[a-zA-Z0-9_-]+)"
)


@attrs.frozen
class FunctionReference:
    """A function as a caller names it. A part that the caller left out is None."""

    name: str
    qualifier: str | None = None
    account: str | None = None
    region: str | None = None


@attrs.frozen
class ExecutionReference:
    """The parts of an execution's ARN. ``id`` alone identifies it."""

    function_arn: str
    name: str
    id: str


def is_function_name(text: str) -> bool:
    return _FUNCTION_NAME.fullmatch(text) is not None


def is_execution_name(text: str) -> bool:
    return _EXECUTION_NAME.fullmatch(text) is not None


@lru_cache(1024)  # each start names its function several times
def parse_function(text: str) -> FunctionReference | None:
    """Read a name, ``name:qualifier``, a partial or a full ARN; None if it is none of these."""
    found = _REFERENCE.fullmatch(text)
    if found is None or len(text) > 256:
        return None
    return FunctionReference(found["name"], found["qualifier"], found["account"], found["region"])


def function_arn(region: str, account: str, name: str, version: str | None = None) -> str:
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    return arn if version is None else f"{arn}:{version}"


def execution_arn(function_arn: str, name: str, execution_id: str) -> str:
    """Return the ARN of an execution.

    :param function_arn: qualified with the executed version
    """
    return f"{function_arn}/durable-execution/{name}/{execution_id}"


@lru_cache(1024)  # each call of a running invocation names its execution
def parse_execution(text: str) -> ExecutionReference | None:
    found = _EXECUTION.fullmatch(text)
    if found is None or len(text) > 1024:
        return None
    return ExecutionReference(found["function"], found["name"], found["id"])
