"""Every error a user can meet, in one tree.

Fields are for programs, the sentence is for people: what happened, where, and what to do. All pickle. An error that
the record gives back (``OperationError``) is built from the recorded fields alone, on the first run as on a replay.

They are written by hand: to generate them with attrs would take a seventh of the time of ``import durable_async``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple


class DurableError(Exception):
    """The root of this package's errors."""


# --- an operation failed: recorded, and the same on every replay ---


class OperationError(DurableError):
    """An operation ended in failure. Its fields are the recorded ones.

    ``error_type`` names the class of the exception that the operation's body raised, with its module (builtins
    without); if that was the error of an operation inside it, the class that this one names. ``str(error)`` is its
    message.
    """

    def __init__(  # noqa: PLR0917 - the order of the fields
        self,
        message: str,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: tuple[str, ...] = (),
        operation_id: str | None = None,
        operation_name: str | None = None,
    ) -> None:
        super().__init__(message, error_type, data, stack_trace, operation_id, operation_name)
        self.message = message
        self.error_type = error_type
        self.data = data
        self.stack_trace = stack_trace
        self.operation_id = operation_id
        self.operation_name = operation_name

    def __str__(self) -> str:
        return self.message


class StepError(OperationError):
    """A step failed for good: its retry strategy allowed no further attempt."""


class ChildContextError(OperationError):
    """A child context failed: its function raised. ``error_type`` is that of what it raised."""


class BatchCompletionError(DurableError):
    """A batch ended with failed items, or its custom completion ended it as failed. Raised by
    :meth:`BatchResult.results <durable_async.BatchResult.results>`, and in the second case by
    :meth:`BatchResult.throw_if_error <durable_async.BatchResult.throw_if_error>` too."""

    def __init__(self, succeeded: int, total: int, errors: tuple[ChildContextError, ...] = ()) -> None:
        super().__init__(succeeded, total, errors)
        self.succeeded = succeeded
        self.total = total  # items that were started
        self.errors = errors

    def __str__(self) -> str:
        if not self.errors:
            return (
                f"the custom completion ended the batch as failed: {self.succeeded} of {self.total} started items "
                "succeeded and none failed"
            )
        first = self.errors[0]
        return (
            f"{len(self.errors)} of {self.total} started items of the batch failed, the first of them with "
            f"{first.error_type or 'an error'}: {first.message}. For the results of the others, call "
            "results(partial=True)"
        )


class DurableTimeoutError(DurableError, TimeoutError):
    """The block under ``ctx.timeout`` was not done when its deadline came. The same on every replay."""

    def __init__(self, name: str | None, timeout: timedelta) -> None:
        super().__init__(name, timeout)
        self.name = name
        self.timeout = timeout

    def __str__(self) -> str:
        return f"the block {self.name or '(unnamed)'} was not done within {self.timeout}"


class CallbackError(OperationError):
    """A callback brought no result. Raised as one of the three below."""


class CallbackFailedError(CallbackError):
    """The outside world answered with a failure. ``error_type``, ``message`` and ``data`` are what it sent."""


class CallbackTimeoutError(CallbackError, TimeoutError):
    """Nobody answered in time. ``error_type`` is the service's: ``Callback.Timeout`` or ``Callback.Heartbeat``."""

    @property
    def heartbeat(self) -> bool:
        """Whether it was a heartbeat that did not come."""
        return self.error_type == "Callback.Heartbeat"


class CallbackSubmitterError(CallbackError):
    """The function that was to hand out the callback's id failed for good. ``error_type`` is that of what it raised."""


class InvokeError(OperationError):
    """An invoked function brought no result. Raised as one of the three below; ``error_type`` is the target's own."""


class InvokeFailedError(InvokeError):
    """The function failed, or it could not be invoked. Then ``error_type`` is the API's error code."""


class InvokeTimeoutError(InvokeError, TimeoutError):
    """The execution of the function ran into its own timeout."""


class InvokeStoppedError(InvokeError):
    """The execution of the function was stopped from outside."""


class WaitForConditionError(OperationError):
    """A condition was not met: its check raised, which ``error_type`` then names, or no further check was allowed.

    In the second case ``error_type`` names this class, and ``data`` is the last state as it was recorded.
    """


# --- what a step's body may raise to steer its retries ---


class NonRetryableError(DurableError):
    """Raised by a step's body: no built-in retry strategy attempts the step again.

    May be mixed into an exception of your own: ``class CardDeclined(NonRetryableError, PaymentError)``.
    """


class RetryAfterError(DurableError):
    """Raised by a step's body: if the step is attempted again, then not before ``delay`` has passed.

    The number of attempts stays the strategy's. May be mixed into an exception of your own that has a ``delay``.
    """

    def __init__(self, delay: timedelta, message: str = "") -> None:
        super().__init__(delay, message)
        self.delay = delay

    def __str__(self) -> str:
        return self.args[1] if len(self.args) > 1 and self.args[1] else f"retry after {self.delay}"


# --- why an attempt failed without its body raising: what a retry strategy is asked about ---


class StepInterruptedError(DurableError):
    """An at-most-once attempt began, and the process ended before its outcome was on record.

    It counts as a failed attempt; the body is not run for it again.
    """

    def __init__(self, operation_id: str, operation_name: str | None, attempt: int) -> None:
        super().__init__(operation_id, operation_name, attempt)
        self.operation_id = operation_id
        self.operation_name = operation_name
        self.attempt = attempt

    def __str__(self) -> str:
        return (
            f"attempt {self.attempt} of step {self.operation_name or self.operation_id} was interrupted before its "
            "outcome was recorded; whether its side effects happened is unknown"
        )


class StepTimeoutError(DurableError, TimeoutError):
    """An attempt ran longer than the ``timeout`` of its :class:`~durable_async.StepConfig` and was cancelled."""

    def __init__(self, operation_name: str | None, timeout: timedelta) -> None:
        super().__init__(operation_name, timeout)
        self.operation_name = operation_name
        self.timeout = timeout

    def __str__(self) -> str:
        return f"an attempt of step {self.operation_name or '(unnamed)'} ran longer than its timeout of {self.timeout}"


# --- values that cannot be recorded ---


class _StoredValueError(DurableError):
    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}"


class SerializationError(_StoredValueError):
    """A value could not be written to the record, or a recorded one not read as the type asked for."""


class StorageUnavailableError(_StoredValueError):
    """A storage for offloaded values failed in a way that may pass: it was not reached, refused, or was full.

    While a step's result is written it is the failure of the attempt, and the step's retry strategy is asked. While a
    recorded value is read it ends the invocation, which the service repeats.
    """


class PayloadTooLargeError(DurableError):
    """A result or error is larger than the service accepts. Nothing was sent, and trying again cannot help."""

    def __init__(self, operation: str, size: int, limit: int) -> None:
        super().__init__(operation, size, limit)
        self.operation = operation
        self.size = size  # bytes
        self.limit = limit  # bytes

    def __str__(self) -> str:
        return (
            f"{self.operation}: {self.size} bytes are more than the {self.limit} bytes that the durable service "
            "accepts. Keep the data elsewhere and return a reference to it, or use a serializer that does so"
        )


# --- the workflow itself is wrong ---


class OperationLabel(NamedTuple):
    """What an operation is, as far as a replay compares it."""

    type: str
    subtype: str | None
    name: str | None

    def __str__(self) -> str:
        return f"{self.subtype or self.type} {self.name!r}" if self.name else f"{self.subtype or self.type} (unnamed)"


class NonDeterminismError(DurableError):
    """The workflow asked for another operation than the one on record in its place.

    Raised before anything runs or is recorded. The execution fails, even if the workflow catches this error.
    """

    def __init__(self, operation_id: str, recorded: OperationLabel, requested: OperationLabel) -> None:
        super().__init__(operation_id, recorded, requested)
        self.operation_id = operation_id
        self.recorded = recorded
        self.requested = requested

    def __str__(self) -> str:
        return (
            f"expected {self.recorded}, which is on record as operation {self.operation_id}, but the workflow now asks "
            f"for {self.requested}. The workflow was changed while this execution was running, or it does not do the "
            "same on each run. Let executions that are running end with the code that they began with, and start new "
            "ones with the new code: on AWS Lambda publish a version for each change, elsewhere register the changed "
            "workflow under another name. Check a change with 'durable-async replay' before you deploy it"
        )


class ContextMisuseError(DurableError):
    """A durable operation was called where none can be: in a step's body, in a task or thread that is no part of the
    workflow, on another execution's context, or twice with one key. Or an operation was called and never awaited, or a
    function that needs the event loop ran in a thread. The message says which, and what to do."""


class NotDurableError(DurableError):
    """The event is no durable invocation: the function was invoked without a durable configuration."""

    def __str__(self) -> str:
        return (
            "the event is not the input of a durable execution. On Lambda, create the function with a DurableConfig "
            "(it cannot be added later) and invoke a version, an alias or $LATEST; elsewhere, start the handler "
            "through a durable service"
        )


# --- the durable service refused, or could not be reached ---


class ServiceCallError(DurableError):
    """A call to the durable service failed.

    :ivar code: the API's error code, such as ``InvalidParameterValueException``; None if no answer came
    :ivar status: the HTTP status; None if no answer came
    """

    def __init__(self, operation: str, message: str, code: str | None = None, status: int | None = None) -> None:
        super().__init__(operation, message, code, status)
        self.operation = operation
        self.message = message
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return f"{self.operation} failed: {self.code or 'no answer'}: {self.message}"


# --- an execution brought no result: told to who waits for it ---


class ExecutionError(DurableError):
    """An execution ended without a result. Raised as one of the three below, to whoever asked for it.

    ``error_type`` names the class of what the workflow raised, with its module (builtins without). If it raised the
    error of an operation, that is the class of what the operation's body raised, and ``operation_id`` and
    ``operation_name`` say which operation; of operations in each other, the innermost. Each of the three may be None.
    ``data`` and ``stack_trace`` are what was recorded.
    """

    def __init__(  # noqa: PLR0917 - the order of the fields
        self,
        message: str,
        execution_arn: str,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: tuple[str, ...] = (),
        operation_id: str | None = None,
        operation_name: str | None = None,
    ) -> None:
        super().__init__(message, execution_arn, error_type, data, stack_trace, operation_id, operation_name)
        self.message = message
        self.execution_arn = execution_arn
        self.error_type = error_type
        self.data = data
        self.stack_trace = stack_trace
        self.operation_id = operation_id
        self.operation_name = operation_name

    def __str__(self) -> str:
        kind = f"{self.error_type}: " if self.error_type else ""
        operation = self.operation_name or (self.operation_id and self.operation_id[:8])
        place = f"operation {operation!r}: " if operation else ""
        return f"{_execution(self.execution_arn)}: {place}{kind}{self.message}"


class ExecutionFailedError(ExecutionError):
    """The workflow raised, or answered what no service takes."""


class ExecutionTimedOutError(ExecutionError):
    """The execution ran into its own timeout."""


class ExecutionStoppedError(ExecutionError):
    """Somebody stopped the execution."""


def _execution(arn: str) -> str:
    """An execution in a few words: ``function/name``."""
    function, _, rest = arn.partition("/durable-execution/")
    parts = function.split(":")
    return f"{parts[6]}/{rest.split('/')[0]}" if rest and len(parts) > 6 else arn


# --- a recorded history is not what it has to be ---


class HistoryError(DurableError):
    """A history cannot be read: it is incomplete, without its data, or no history. The message says which."""
