"""The functions that the service invokes, wherever they run.

A function gets an event and returns a JSON value, or raises :class:`InvocationFailed`. The event of a durable function
is an invocation envelope, and its answer has a status (protocol.md, "Envelope" and "Answer of the handler"). Any other
function gets its caller's event.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import attrs

from durable_async._callables import is_coroutine_function
from durable_async._raised import message_of, trace_of
from durable_async._threads import Threads, threads_of
from durable_async._wire.operations import ErrorObject
from durable_async.service.clock import steady_time


@attrs.frozen
class InvocationRequest:
    """What a function gets besides its event.

    :ivar request_id: identifies this invocation; ``RequestId`` in the history
    :ivar function_arn: qualified with the version that is executed
    :ivar deadline_ms: epoch milliseconds by which the function must have answered; None: no deadline
    :ivar trace_header: the X-Ray trace header of the invocation; None: the caller gave none
    """

    request_id: str
    function_name: str
    function_arn: str
    tenant_id: str | None = None
    deadline_ms: int | None = None
    trace_header: str | None = None


class InvocationFailed(Exception):  # noqa: N818 - an outcome, told apart from errors of the service itself
    """A function gave no answer: it raised, its process died (``Runtime.ExitError``) or it ran too long
    (``Sandbox.Timedout``).
    """

    def __init__(self, error: ErrorObject) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error.get('ErrorType', 'Error')}: {self.error.get('ErrorMessage', '')}"


def failure(error_type: str, request: InvocationRequest, reason: str) -> InvocationFailed:
    """Return the error of an invocation that ended from outside its function, in Lambda's words."""
    return InvocationFailed(
        {"ErrorType": error_type, "ErrorMessage": f"RequestId: {request.request_id} Error: {reason}"}
    )


@asynccontextmanager
async def within_deadline(request: InvocationRequest) -> AsyncGenerator[None]:
    """Cancel the code inside when the deadline passes.

    :raises InvocationFailed: ``Sandbox.Timedout``: the deadline has passed
    """
    patience = None if request.deadline_ms is None else request.deadline_ms / 1000 - steady_time()
    timeout = asyncio.timeout(patience)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():  # the code raised it
            raise
        reason = f"Task timed out after {max(0, patience or 0):.2f} seconds"
        raise failure("Sandbox.Timedout", request, reason) from None


class Memory(Protocol):
    """The executions that a function keeps in memory between their invocations."""

    def keeps(self, execution_arn: str) -> bool:
        """Return whether the execution is in memory as its last invocation left it. The event of the next invocation
        then needs only the operations that changed since. The answer is valid until the event loop's next iteration.
        """
        ...

    def forget(self, execution_arn: str) -> None:
        """Drop the execution, because it is closed."""
        ...


class Function(Protocol):
    @property
    def durable(self) -> bool:
        """True: its event is an invocation envelope. False: its event is its caller's. Read when the function is
        registered.
        """
        ...

    @property
    def memory(self) -> Memory | None:
        """The executions in memory; None: each invocation needs the whole record."""
        ...

    async def invoke(self, event: object, request: InvocationRequest) -> object:
        """Run the function once.

        Cancelling the call abandons the invocation; its answer is then ignored. The function itself must end at
        ``request.deadline_ms``.

        :param event: a JSON value
        :return: a JSON value
        :raises InvocationFailed: the function raised, crashed, or ran too long
        """
        ...


@attrs.frozen
class LambdaContext:
    """The second argument of a function that runs in this process, with a part of Lambda's members."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str
    tenant_id: str | None
    deadline_ms: int | None
    trace_header: str | None

    @classmethod
    def of(cls, request: InvocationRequest) -> LambdaContext:
        return cls(
            aws_request_id=request.request_id,
            function_name=request.function_name,
            invoked_function_arn=request.function_arn,
            tenant_id=request.tenant_id,
            deadline_ms=request.deadline_ms,
            trace_header=request.trace_header,
        )

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the deadline; without one, 900,000, Lambda's longest timeout."""
        return 900_000 if self.deadline_ms is None else max(0, self.deadline_ms - int(steady_time() * 1000))


@attrs.frozen
class InProcessFunction:
    """A function of this process. If it raises, the invocation fails."""

    call: Callable[[Any, InvocationRequest], Awaitable[object]]
    durable: bool
    memory: Memory | None = None

    async def invoke(self, event: object, request: InvocationRequest) -> object:
        try:
            return await self.call(event, request)
        except InvocationFailed:
            raise
        except Exception as error:
            raise InvocationFailed(error_object(error)) from error


def in_process_function(function: Callable[[Any, Any], Any], threads: Threads | None = None) -> InProcessFunction:
    """Return an ordinary function of ``(event, context)`` for the service. A synchronous function runs in a thread.

    :param threads: the pool of these threads; None: the event loop's
    """

    async def call(event: object, request: InvocationRequest) -> object:
        context = LambdaContext.of(request)
        if is_coroutine_function(function):
            return _as_json(await function(event, context))
        pool = threads or threads_of(asyncio.get_running_loop())
        value = await pool.run(request.function_arn, partial(function, event, context))
        return _as_json(await value if inspect.isawaitable(value) else value)

    return InProcessFunction(call, durable=False)


def _as_json(value: object) -> object:
    """Return the value as its caller gets it: through JSON, so that it shares nothing with the function."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        raise InvocationFailed({"ErrorType": "Runtime.MarshalError", "ErrorMessage": message}) from error


def error_object(error: BaseException) -> ErrorObject:
    """Return an exception that left a handler as Lambda reports it: the class name, the text and the stack."""
    return {
        "ErrorType": type(error).__name__,
        "ErrorMessage": message_of(error),
        "StackTrace": trace_of(error),
    }
