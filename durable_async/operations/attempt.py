"""One attempt of a function of the user's, in which no durable operation can be called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from durable_async.engine.branches import put_in
from durable_async.engine.call import Call
from durable_async.engine.isolation import driven
from durable_async.errors import StepTimeoutError
from durable_async.step_context import StepContext
from durable_async.wire.operations import Action


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
    """Run a coroutine function on the loop and any other in a worker thread.

    :param abandon: leave a thread to itself when cancelled; threads cannot be stopped
    """
    if inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(getattr(body, "__call__", None)):  # noqa: B004
        return await body()
    from anyio import to_thread

    async with call.invocation.threads:
        value = await to_thread.run_sync(body, abandon_on_cancel=abandon)
    return await value if inspect.isawaitable(value) else value
