"""The functions that the service invokes, wherever they run.

The service knows a function by this protocol alone: an event in, a JSON value out, or :class:`InvocationFailed`. A
durable function gets an invocation envelope as its event and answers with a status (protocol.md, "Envelope" and
"Answer of the handler"). Any other function gets its caller's event.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, Callable
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
    """What a function is told besides its event.

    :ivar request_id: names this invocation; in the history as ``RequestId``
    :ivar function_arn: qualified with the version that is executed
    :ivar deadline_ms: epoch milliseconds at which the function must have answered; None if it may take its time
    :ivar trace_header: an X-Ray trace header: the trace that the invocation belongs to; None if the caller gave none
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
    """What befell an invocation from outside its function, as Lambda words it."""
    return InvocationFailed(
        {"ErrorType": error_type, "ErrorMessage": f"RequestId: {request.request_id} Error: {reason}"}
    )


@asynccontextmanager
async def within_deadline(request: InvocationRequest) -> AsyncGenerator[None]:
    """Cancels what runs inside when the deadline comes.

    :raises InvocationFailed: ``Sandbox.Timedout``; it came
    """
    patience = None if request.deadline_ms is None else request.deadline_ms / 1000 - steady_time()
    timeout = asyncio.timeout(patience)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():  # another's
            raise
        reason = f"Task timed out after {max(0, patience or 0):.2f} seconds"
        raise failure("Sandbox.Timedout", request, reason) from None


class Memory(Protocol):
    """Executions that a function has in memory between their invocations."""

    def keeps(self, execution_arn: str) -> bool:
        """Whether the execution is there as its last invocation left it, so that the event of the next one need only
        hold the operations that changed since. The answer holds until the event loop's next turn."""
        ...

    def forget(self, execution_arn: str) -> None:
        """The execution is closed: no invocation will ask for it any more."""
        ...


class Function(Protocol):
    @property
    def durable(self) -> bool:
        """Whether its event is an invocation envelope. Known when the function is registered."""
        ...

    @property
    def memory(self) -> Memory | None:
        """None: each invocation is told everything."""
        ...

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        """Run the function once.

        Cancelling the call abandons the invocation; nobody will look at its answer. Keeping to
        ``request.deadline_ms`` is the function's part, since only it knows what has to be killed.

        :param event: a JSON value
        :return: a JSON value
        :raises InvocationFailed: the function raised, crashed, or ran too long
        """
        ...


@attrs.frozen
class LambdaContext:
    """The second argument of a function that runs in this process, as far as Lambda's has the same members."""

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
        """Milliseconds until the deadline; 900,000, Lambda's longest timeout, if there is none."""
        return 900_000 if self.deadline_ms is None else max(0, self.deadline_ms - int(steady_time() * 1000))


@attrs.frozen
class InProcessFunction:
    """A function of this process. What it raises is the invocation's failure."""

    call: Callable[[Any, InvocationRequest], Any]
    durable: bool
    memory: Memory | None = None

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        try:
            return await self.call(event, request)
        except InvocationFailed:
            raise
        except Exception as error:
            raise InvocationFailed(error_object(error)) from error


def in_process_function(function: Callable[[Any, Any], Any], threads: Threads | None = None) -> InProcessFunction:
    """An ordinary, not durable function of ``(event, context)``. If it is sync it runs in a worker thread.

    :param threads: from which it takes that; None: those of the event loop
    """

    async def call(event: Any, request: InvocationRequest) -> Any:
        context = LambdaContext.of(request)
        if is_coroutine_function(function):
            return _as_json(await function(event, context))
        pool = threads or threads_of(asyncio.get_running_loop())
        value = await pool.run(request.function_arn, partial(function, event, context))
        return _as_json(await value if inspect.isawaitable(value) else value)

    return InProcessFunction(call, durable=False)


def _as_json(value: object) -> object:
    """The value as its caller gets it: what JSON leaves of it, and nothing shared with the function."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        raise InvocationFailed({"ErrorType": "Runtime.MarshalError", "ErrorMessage": message}) from error


def error_object(error: BaseException) -> ErrorObject:
    """How Lambda reports an exception that left a handler: the bare class name, the text and the stack."""
    return {
        "ErrorType": type(error).__name__,
        "ErrorMessage": message_of(error),
        "StackTrace": trace_of(error),
    }
