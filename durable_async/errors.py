"""All errors of this package, in one tree.

The fields are for programs. The text is for people: what happened, where, and what to do. All of them can be pickled.
An ``OperationError`` is built from the recorded fields alone, on the first run as on a replay.

The classes are written by hand: generating them with attrs would take a seventh of the time of
``import durable_async``.
"""

from datetime import timedelta
from typing import ClassVar, NamedTuple


class DurableError(Exception):
    """The root of this package's errors."""


# --- an operation failed: recorded, and the same on every replay ---


class OperationError(DurableError):
    """An operation failed. The fields are those of the record.

    ``error_type`` names the class of the exception that the operation's body raised, with its module unless it is a
    builtin. If the body raised the error of an operation inside it, ``error_type`` is that of the inner error.
    ``str(error)`` is the message.
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
    """A step failed, and its retry strategy allowed no further attempt."""


class ChildContextError(OperationError):
    """A child context failed: its function raised. ``error_type`` names the class of what it raised."""


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
    """The block under ``ctx.timeout`` did not finish before its deadline. The same on every replay."""

    def __init__(self, name: str | None, timeout: timedelta) -> None:
        super().__init__(name, timeout)
        self.name = name
        self.timeout = timeout

    def __str__(self) -> str:
        return f"block {self.name or '(unnamed)'} did not finish within {self.timeout}"


class CallbackError(OperationError):
    """A callback has no result. Raised as one of the three classes below."""


class CallbackFailedError(CallbackError):
    """The answer was a failure. ``error_type``, ``message`` and ``data`` are those of the answer."""


class CallbackTimeoutError(CallbackError, TimeoutError):
    """No answer came in time. The service sets ``error_type``: ``Callback.Timeout`` or ``Callback.Heartbeat``."""

    @property
    def heartbeat(self) -> bool:
        """True if a heartbeat was missing, False if the timeout of the callback passed."""
        return self.error_type == "Callback.Heartbeat"


class CallbackSubmitterError(CallbackError):
    """The submitter failed, and no further attempt was allowed. ``error_type`` names the class of what it raised."""


class InvokeError(OperationError):
    """An invoked function has no result. Raised as one of the three classes below; ``error_type`` is the function's."""


class InvokeFailedError(InvokeError):
    """The function failed, or could not be invoked. In the second case ``error_type`` is the API's error code."""


class InvokeTimeoutError(InvokeError, TimeoutError):
    """The execution of the function took longer than its own timeout."""


class InvokeStoppedError(InvokeError):
    """The execution of the function was stopped from outside."""


class WaitForConditionError(OperationError):
    """A condition was not met: its check raised (``error_type`` names what), or no further check was allowed.

    In the second case ``error_type`` names this class, and ``data`` is the last recorded state.
    """


# --- what a step's body may raise to steer its retries ---


class NonRetryableError(DurableError):
    """Raise it in a step's body, and no built-in retry strategy attempts the step again.

    Your own exception may derive from it too: ``class CardDeclined(NonRetryableError, PaymentError)``.
    """


class RetryAfterError(DurableError):
    """Raise it in a step's body, and the next attempt does not start before ``delay`` has passed.

    The strategy still limits the number of attempts. Your own exception may derive from it too and set ``delay``.
    """

    def __init__(self, delay: timedelta, message: str = "") -> None:
        super().__init__(delay, message)
        self.delay = delay

    def __str__(self) -> str:
        return self.args[1] if len(self.args) > 1 and self.args[1] else f"retry after {self.delay}"


# --- an attempt failed although its body did not raise: passed to the retry strategy ---


class StepInterruptedError(DurableError):
    """An at-most-once attempt began, and the process ended before its outcome was recorded.

    It counts as a failed attempt; the body does not run again for it.
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
    """A value cannot be written to the record, or a recorded value cannot be read as the requested type."""


class EventError(SerializationError):
    """The event of an execution cannot be read as the type that the workflow's first parameter declares."""


class StorageUnavailableError(_StoredValueError):
    """A storage for offloaded values failed, perhaps for a short time: it was unreachable, refused, or was full.

    If this happens while a step's result is written, the attempt fails, and the step's retry strategy decides. If it
    happens while a recorded value is read, the invocation ends, and the service repeats it.
    """


class PayloadTooLargeError(DurableError):
    """A result or error is larger than the service accepts. Nothing was sent, and another attempt cannot help."""

    def __init__(self, operation: str, size: int, limit: int) -> None:
        super().__init__(operation, size, limit)
        self.operation = operation
        self.size = size  # bytes
        self.limit = limit  # bytes

    def __str__(self) -> str:
        return (
            f"{self.operation}: {self.size} bytes are more than the {self.limit} bytes that the durable service "
            "accepts. Keep the data elsewhere and return a reference to it, or use the serializer Offloaded"
        )


# --- the workflow itself is wrong ---


class OperationLabel(NamedTuple):
    """The type and name of an operation, which a replay compares."""

    type: str
    subtype: str | None
    name: str | None

    def __str__(self) -> str:
        return f"{self.subtype or self.type} {self.name!r}" if self.name else f"{self.subtype or self.type} (unnamed)"


class NonDeterminismError(DurableError):
    """The workflow called another operation than the recorded one.

    Raised before anything runs or is recorded. The execution fails, even if the workflow catches this error; or it is
    parked, if its function is registered with ``on_mismatch="park"``.
    """

    ADVICE: ClassVar[str] = (
        ". The workflow was changed while this execution was running, or it does not do the same on each run. Roll the "
        "change back, or write it so that running executions keep the old code: 'if await ctx.patched(\"name\"):'. On "
        "AWS Lambda you can publish a version for each change, on which running executions stay. Check a change with "
        "'durable-async replay --open' before you deploy it"
    )

    def __init__(self, operation_id: str, recorded: OperationLabel, requested: OperationLabel) -> None:
        super().__init__(operation_id, recorded, requested)
        self.operation_id = operation_id
        self.recorded = recorded
        self.requested = requested

    def __str__(self) -> str:
        return (
            f"expected {self.recorded}, which is recorded as operation {self.operation_id}, but the workflow now calls "
            f"{self.requested}{self.ADVICE}"
        )


class ExecutionCancelledError(DurableError):
    """Somebody cancelled the execution. The operation that the workflow calls next raises this, once.

    Let it pass: compensations and clean-ups run, with all durable operations, and the execution ends STOPPED. A
    workflow that catches it and returns refuses the cancellation.

    :ivar reason: what the caller of ``cancel`` gave; None if nothing
    """

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or "the execution was cancelled"


class ContextMisuseError(DurableError):
    """A durable operation was called in a wrong place: in a step's body, in a task or thread that is not part of the
    workflow, on another execution's context, or twice with the same key. Or an operation was never awaited, or a
    function that needs the event loop ran in a thread. The message says what happened and what to do."""


class NotDurableError(DurableError):
    """The event is not a durable invocation: the function was invoked without a durable configuration."""

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
    :ivar repeated: True: this is the answer to a repeated request. The service may have done the first, whose answer
        was lost. False: the request was sent once
    """

    def __init__(
        self,
        operation: str,
        message: str,
        code: str | None = None,
        status: int | None = None,
        *,
        repeated: bool = False,
    ) -> None:
        super().__init__(operation, message, code, status)
        self.operation = operation
        self.message = message
        self.code = code
        self.status = status
        self.repeated = repeated

    def __str__(self) -> str:
        return f"{self.operation} failed: {self.code or 'no answer'}: {self.message}"


# --- an execution has no result: raised by execution.result() ---


class ExecutionError(DurableError):
    """An execution ended without a result. Raised as one of the three classes below.

    ``error_type`` names the class of what the workflow raised, with its module unless it is a builtin. If the workflow
    raised the error of an operation, ``error_type`` is that of the operation, which ``operation_id`` and
    ``operation_name`` identify; of nested operations, the innermost. Each of the three may be None. ``data`` and
    ``stack_trace`` are those of the record.
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
        place = ""
        if self.operation_name or self.operation_id:
            named = f"operation {self.operation_name!r}" if self.operation_name else "an unnamed operation"
            place = f"{named}: "
        return f"{_execution(self.execution_arn)}: {place}{kind}{self.message}"


class ExecutionFailedError(ExecutionError):
    """The workflow raised an error, or its answer was invalid."""


class ExecutionTimedOutError(ExecutionError):
    """The execution took longer than its timeout."""


class ExecutionStoppedError(ExecutionError):
    """The execution was stopped."""


def _execution(arn: str) -> str:
    """Return a short name of an execution: ``function/name``."""
    function, _, rest = arn.partition("/durable-execution/")
    parts = function.split(":")
    return f"{parts[6]}/{rest.split('/')[0]}" if rest and len(parts) > 6 else arn


# --- a recorded history cannot be replayed ---


class HistoryError(DurableError):
    """A history cannot be read: it is incomplete, has no data, or is not a history. The message says which."""
