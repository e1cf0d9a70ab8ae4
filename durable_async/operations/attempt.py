"""One attempt of a function of the user's, in which no durable operation can be called."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from durable_async.callables import is_coroutine_function
from durable_async.engine.branches import put_in
from durable_async.engine.call import Call
from durable_async.engine.isolation import driven
from durable_async.errors import ContextMisuseError, StepTimeoutError
from durable_async.serializers import returns_awaitable
from durable_async.step_context import StepContext
from durable_async.wire.operations import Action

_NO_LOOP = re.compile(
    "no running event loop|There is no current event loop in thread|Not currently running on any async"
)
"""What asyncio and anyio say to code that needs the running loop."""


async def run_attempt(call: Call, body: Callable[[], Any], attempt: int, timeout: timedelta | None = None) -> Any:
    """What ``body`` returns. It is not cut short by a suspension, and can ask for its ``current_step``. It sees the
    workflow's context variables, and what it sets in them ends with it.

    :param attempt: 1-based
    :raises StepTimeoutError: it took longer than ``timeout``
    """
    if (frontier := call.invocation.frontier) is not None:
        await call.stop(frontier, Action.START)
    task = asyncio.current_task()
    cancelling = task.cancelling() if task is not None else 0  # a TaskGroup that failed may have left it above zero
    here = StepContext(call.invocation.execution_arn, call.id, call.name, call.branch.scope.id, attempt)
    plugins = call.invocation.plugins
    with call.running() if plugins is None else plugins.attempt(call, attempt):
        context = copy_context()
        put_in(context, here)
        try:
            if timeout is None:
                return await driven(_run(call, body, abandon=False), context)
            deadline = asyncio.timeout(timeout.total_seconds())
            try:
                async with deadline:
                    return await driven(_run(call, body, abandon=True), context)
            except TimeoutError:
                if deadline.expired():
                    raise StepTimeoutError(call.name, timeout) from None
                raise
        except (SystemExit, KeyboardInterrupt) as error:
            await call.invocation.exit(error)
        except asyncio.CancelledError as error:
            if task is None or task.cancelling() > cancelling:
                raise
            # Nobody cancelled the workflow: something that the body waited for was, and that is the body's failure.
            raise RuntimeError(f"the body of {call} ended with CancelledError, but was not cancelled") from error


async def _run(call: Call, body: Callable[[], Any], *, abandon: bool) -> Any:
    """Run a function that makes an awaitable on the loop, and any other in a worker thread.

    :param abandon: leave a thread to itself when cancelled; threads cannot be stopped
    :raises ContextMisuseError: a function that needs the loop ran in a thread, since nothing told so beforehand
    """
    if is_coroutine_function(body) or returns_awaitable(body):
        return await body()
    try:
        value = await call.invocation.threads.run(call.invocation.execution_arn, body, abandon=abandon)
    except RuntimeError as error:
        if _NO_LOOP.match(str(error)) is None:
            raise
        raise ContextMisuseError(
            f"the body of {call} is no 'async def', so it ran in a worker thread, and what it called needs the event "
            "loop. Write an 'async def' that awaits it: async def both(): return await asyncio.gather(one(), two())"
        ) from error
    return await value if inspect.isawaitable(value) else value
