"""What the service's API refuses with. Each class is one error of the service model: its code and its HTTP status.

Source: protocol.md, "Errors of the API". The HTTP layer puts the code into the header ``x-amzn-ErrorType`` and the text
into a member whose case differs by error.
"""

from __future__ import annotations


class ApiError(Exception):
    """The service refuses a call, and nothing has changed.

    :ivar code: the error's name in the service model
    :ivar status: the HTTP status
    :ivar message: one sentence for the caller
    """

    code: str = "ServiceException"
    status: int = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidParameterValueError(ApiError):
    """A value breaks a rule, a token is stale, or a transition is not possible."""

    code = "InvalidParameterValueException"
    status = 400


class InvalidRequestContentError(ApiError):
    """The event of an Invoke is not JSON."""

    code = "InvalidRequestContentException"
    status = 400


class RequestTooLargeError(ApiError):
    """The event of an Invoke is larger than Lambda takes."""

    code = "RequestTooLargeException"
    status = 413


class CallbackTimedOutError(ApiError):
    """The callback timed out before its result came."""

    code = "CallbackTimeoutException"
    status = 400


class ResourceNotFoundError(ApiError):
    """No such function, execution or callback."""

    code = "ResourceNotFoundException"
    status = 404


class ResourceConflictError(ApiError):
    """The execution's status does not allow it."""

    code = "ResourceConflictException"
    status = 409


class AlreadyStartedError(ApiError):
    """The execution name is taken by an execution with another payload."""

    code = "DurableExecutionAlreadyStartedException"
    status = 409


class StoreError(ApiError):
    """What the service keeps cannot be written or read: the disk is full, the file is damaged or read-only.

    A call that ends so has changed nothing, and may be repeated.
    """

    status = 503


class DamagedExecutionError(StoreError):
    """What the service keeps of one execution cannot be read, although the rest of the store can.

    Repeating the call does not help: restore the store from a backup, or delete the execution.

    :ivar execution_id: of the execution that is damaged
    """

    def __init__(self, message: str, execution_id: str) -> None:
        super().__init__(message)
        self.execution_id = execution_id

    def __reduce__(self) -> tuple[type[DamagedExecutionError], tuple[str, str]]:
        return type(self), (self.message, self.execution_id)


class StoreInUseError(StoreError):
    """Another store has the file, and only one at a time may write."""


class ServiceClosedError(ApiError):
    """The service ends, or no service has the file. Repeat the call."""

    status = 503


_BY_CODE = {
    kind.code: kind
    for kind in (
        InvalidParameterValueError,
        InvalidRequestContentError,
        RequestTooLargeError,
        CallbackTimedOutError,
        ResourceNotFoundError,
        ResourceConflictError,
        AlreadyStartedError,
    )
}


def refusal(code: str, status: int, message: str) -> ApiError:
    """Return the error with which a service elsewhere refused a call. One without a class of its own is an ApiError."""
    error = _BY_CODE.get(code, ApiError)(message)
    error.code, error.status = code, status
    return error
