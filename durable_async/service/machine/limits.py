"""The limits of a service: sizes in bytes of UTF-8, and how often a failed invocation is retried."""

from __future__ import annotations

import json

import attrs

from durable_async._wire import limits
from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import utf8_size
from durable_async.service.model.errors import InvalidParameterValueError


@attrs.frozen
class Limits:
    """Maximum sizes.

    :ivar payload_bytes: of a result, state or input of an operation, except the execution itself
    :ivar error_bytes: of an error that a handler records, as JSON. An error from outside may have ``payload_bytes``
    :ivar execution_bytes: of an execution's result
    :ivar child_execution_bytes: of the result of an execution that a chained invoke started
    :ivar page_operations: operations in one page of the record, the envelope's page included
    :ivar page_bytes: size of one page of the record. A single larger operation is a page by itself
    """

    payload_bytes: int = limits.PAYLOAD_BYTES
    error_bytes: int = limits.ERROR_BYTES
    execution_bytes: int = 6 * 1024 * 1024
    child_execution_bytes: int = 1024 * 1024
    page_operations: int = limits.STATE_PAGE_ITEMS
    page_bytes: int = 5 * 1024 * 1024


def check_error_size(error: ErrorObject, max_bytes: int) -> None:
    """Check the size of an error.

    :raises InvalidParameterValueError: as JSON, it has more than ``max_bytes``
    """
    if utf8_size(json.dumps(error, ensure_ascii=False)) > max_bytes:
        raise InvalidParameterValueError(f"Error object size must be less than {max_bytes} bytes.")


_CRASHES = ("Runtime.", "Sandbox.", "Extension.")


def is_crash(error_type: str | None) -> bool:
    """Return whether the function's process ended, or could not begin. A function that ran too long is not a crash."""
    return error_type is not None and error_type.startswith(_CRASHES) and error_type != "Sandbox.Timedout"


@attrs.frozen
class InvocationRetryPolicy:
    """When to repeat an invocation that gave no answer.

    After a crash the invocation is repeated at once, ``immediate`` times. After further crashes, and when a handler
    raises or runs too long, the delay grows from ``first_delay_ms`` by the factor ``rate`` up to ``longest_delay_ms``.
    Any answer resets the count. AWS does not publish its figures. Source: protocol.md, "Failed invocations".

    :ivar max_failures: the execution fails with the last error after this number of failures in a row. None: the
        invocation is repeated until the execution's timeout, because a broken deployment can be corrected and a failed
        execution cannot
    :ivar quarantine_after: after this number of crashes in a row the execution is paused, until an operator corrects
        the handler and resumes it. A crash that ended several executions counts for each of them, but only an execution
        that is the single most likely cause is put in quarantine, and only if no step succeeded in its last invocation.
        A handler that cannot be imported counts as a crash. None: never. AWS has no quarantine
    """

    immediate: int = 3
    first_delay_ms: int = 1000
    longest_delay_ms: int = 60_000
    rate: float = 2.0
    max_failures: int | None = None
    quarantine_after: int | None = 10

    def delay_ms(self, failures: int, error_type: str | None) -> int | None:
        """Return how long to wait after a failure, in milliseconds; None: do not retry.

        :param failures: the number of failures in a row, from 1
        """
        if self.max_failures is not None and failures >= self.max_failures:
            return None
        crashed = is_crash(error_type)
        if crashed and failures <= self.immediate:
            return 0
        exponent = min(failures - 1 - (self.immediate if crashed else 0), 64)
        return min(self.longest_delay_ms, round(self.first_delay_ms * self.rate**exponent))
