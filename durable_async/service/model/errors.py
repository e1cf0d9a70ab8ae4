"""The errors of the service's API. Each class is one error of the service model, with its code and its HTTP status.

Source: protocol.md, "Errors of the API". The HTTP layer puts the code into the header ``x-amzn-ErrorType`` and the text
into a member whose case differs by error.
"""

from __future__ import annotations


class ApiError(Exception):
    """The service refused a call, and nothing has changed.

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
    """There is no function, execution or callback with this name or id."""

    code = "ResourceNotFoundException"
    status = 404


class ResourceConflictError(ApiError):
    """The execution's status does not allow the call."""

    code = "ResourceConflictException"
    status = 409


class AlreadyStartedError(ApiError):
    """An execution with another payload has this name."""

    code = "DurableExecutionAlreadyStartedException"
    status = 409


class StoreError(ApiError):
    """The store cannot be written or read: for example, the disk is full, or the file is damaged or read-only.

    The call has changed nothing and may be repeated.
    """

    status = 503


class DamagedExecutionError(StoreError):
    """The record of one execution cannot be read, although the rest of the store can.

    Do not repeat the call. Restore the store from a backup, or delete the execution.

    :ivar execution_id: of the damaged execution
    """

    def __init__(self, message: str, execution_id: str) -> None:
        super().__init__(message)
        self.execution_id = execution_id

    def __reduce__(self) -> tuple[type[DamagedExecutionError], tuple[str, str]]:
        return type(self), (self.message, self.execution_id)


class ExecutionDeletedError(ResourceNotFoundError, StoreError):
    """The execution was deleted while the call waited, so the call has changed nothing."""

    code: str = ResourceNotFoundError.code
    status: int = ResourceNotFoundError.status


class StoreInUseError(StoreError):
    """Another store has the file open for writing, and only one at a time may write."""


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
