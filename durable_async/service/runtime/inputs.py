"""What callers give to the service, and its checks: events, markers and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypedDict

from durable_async.service import parsing
from durable_async.service.model import arns
from durable_async.service.model.errors import (
    InvalidParameterValueError,
    InvalidRequestContentError,
    RequestTooLargeError,
)
from durable_async.service.model.schema import misfit

EVENT_BYTES = 6 * 1024 * 1024
"""The maximum size of an event."""

_PAGE_ITEMS = 100
_MAX_PAGE_ITEMS = 1000


class ForkOptions(TypedDict, total=False):
    """Says what a fork takes from the record of another execution. A member may be left out or None.

    - ``before``: name or id of the first operation that is done again; None: those that failed
    - ``execution_name``: of the new execution; None: a new one
    - ``payload``: its event, JSON; None: that of the other
    - ``replace``: by name or id, results as JSON text, with which operations on record count as succeeded
    - ``tags``: of the new execution
    """

    before: str | None
    execution_name: str | None
    payload: bytes | None
    replace: Mapping[str, str] | None
    tags: Mapping[str, str] | None


async def read_event(payload: bytes) -> tuple[str, object]:
    """Return the event of an Invoke as text and as a JSON value. An empty payload stands for ``{}``.

    :raises ApiError: RequestTooLarge, before anything is parsed; InvalidRequestContent
    """
    if len(payload) > EVENT_BYTES:
        raise RequestTooLargeError(f"Request must be smaller than {EVENT_BYTES} bytes for the InvokeFunction operation")
    if not payload.strip():
        return "{}", {}
    try:
        return payload.decode(), await parsing.read(parsing.loads, payload)
    except (UnicodeError, parsing.NotReadable) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else error
        raise InvalidRequestContentError(f"Could not parse request body into json: {reason}.") from None


def check_execution_name(name: str | None) -> None:
    """Check the name that a caller gives to an execution.

    :raises InvalidParameterValueError: it is not a valid name
    """
    if name is not None and not arns.is_execution_name(name):
        raise InvalidParameterValueError(
            "DurableExecutionName must be 1 to 64 letters, digits, hyphens and underscores."
        )


async def check_answer(answer: bytes, schema: str) -> None:
    """Check the answer of a callback, JSON, against the JSON Schema that the workflow gave. Empty means null.

    :raises InvalidParameterValueError: it does not fit
    """
    try:
        wrong = await parsing.read(lambda body: misfit(json.loads(schema), parsing.loads(body)), answer or b"null")
    except parsing.NotReadable as error:
        wrong = f"{error}. It must be JSON, with a text in quotes"
    if wrong is not None:
        raise InvalidParameterValueError(
            f"The answer is not what the workflow waits for: {wrong}. The callback stays open."
        )


def page_length(max_items: int) -> int:
    """Return how many items a page has at most: 100 if ``max_items`` is 0.

    :raises InvalidParameterValueError: ``max_items`` is not between 0 and 1000
    """
    if not 0 <= max_items <= _MAX_PAGE_ITEMS:
        raise InvalidParameterValueError(f"MaxItems must be between 0 and {_MAX_PAGE_ITEMS}.")
    return max_items or _PAGE_ITEMS


def page_start(marker: str | None) -> int | None:
    """Return the number that a marker stands for; None if there is no marker.

    :raises InvalidParameterValueError: no page has this marker
    """
    if not marker:
        return None
    if not (marker.isascii() and marker.isdecimal() and len(marker) <= 18):  # what a store's integers hold
        raise InvalidParameterValueError("Invalid marker")
    return int(marker)
