"""What a service allows: the sizes of things in bytes of UTF-8, and how often a failed invocation is tried again."""

from __future__ import annotations

import json

import attrs

from durable_async._wire import limits
from durable_async._wire.operations import ErrorObject
from durable_async.service.model.errors import InvalidParameterValueError


@attrs.frozen
class Limits:
    """
    :ivar payload_bytes: of a result, state or input of every operation but the execution itself
    :ivar error_bytes: of an error that a handler records, as JSON; from outside it may have ``payload_bytes``
    :ivar execution_bytes: of an execution's result; ``child_execution_bytes`` if a chained invoke started it
    :ivar page_operations: in one page of the record, the envelope's too
    :ivar page_bytes: likewise; a single operation may be larger
    """

    payload_bytes: int = limits.PAYLOAD_BYTES
    error_bytes: int = limits.ERROR_BYTES
    execution_bytes: int = 6 * 1024 * 1024
    child_execution_bytes: int = 1024 * 1024
    page_operations: int = 1000
    page_bytes: int = 5 * 1024 * 1024


def check_error_size(error: ErrorObject, max_bytes: int) -> None:
    """:raises InvalidParameterValueError: it has more, as JSON"""
    if utf8_size(json.dumps(error, ensure_ascii=False)) > max_bytes:
        raise InvalidParameterValueError(f"Error object size must be less than {max_bytes} bytes.")


def utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


_CRASHES = ("Runtime.", "Sandbox.", "Extension.")


def is_crash(error_type: str | None) -> bool:
    """Whether the function's process ended, or could not begin. One that ran too long only was in the way."""
    return error_type is not None and error_type.startswith(_CRASHES) and error_type != "Sandbox.Timedout"


@attrs.frozen
class InvocationRetryPolicy:
    """How often, and after how long, an invocation is repeated that gave no answer.

    A crash is repeated at once, ``immediate`` times; after that, and for whatever a handler raises or when it runs too
    long, the delay grows from ``first_delay_ms`` by ``rate`` up to ``longest_delay_ms``. Any answer resets the
    count. AWS does not publish its figures. Source: protocol.md, "Failed invocations".

    :ivar most_failures: after so many failures in a row the execution fails with the last error; None: it is tried
        until the execution's timeout, since a failed execution cannot be mended and a broken deployment can
    :ivar quarantine_after: after so many crashes in a row the execution is paused, until somebody who corrected its
        handler resumes it. A crash that other executions shared counts, but only one that leaves no other execution as
        likely a cause leads to quarantine. A handler that cannot be imported counts as crashing. None: never. AWS has
        no such thing
    """

    immediate: int = 3
    first_delay_ms: int = 1000
    longest_delay_ms: int = 60_000
    rate: float = 2.0
    most_failures: int | None = None
    quarantine_after: int | None = 10

    def delay_ms(self, failures: int, error_type: str | None) -> int | None:
        """How long to wait after the ``failures``-th failure in a row, from 1; None: give up."""
        if self.most_failures is not None and failures >= self.most_failures:
            return None
        crashed = is_crash(error_type)
        if crashed and failures <= self.immediate:
            return 0
        exponent = min(failures - 1 - (self.immediate if crashed else 0), 64)
        return min(self.longest_delay_ms, round(self.first_delay_ms * self.rate**exponent))
