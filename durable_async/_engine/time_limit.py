"""The time limit of an invocation. Lambda ends the process at it, and logs only that."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

logger: logging.Logger = logging.getLogger("durable_async")


def remaining_time(lambda_context: Any) -> timedelta | None:
    """Return the time until the service ends the invocation. None: there is no limit, or it is not known.

    :param lambda_context: the second argument of the handler, of whatever class. A deadline that is past on this clock
        says nothing. ``deadline_ms`` is None in the context of a function of a service in this process, which has no
        limit
    """
    ask = getattr(lambda_context, "get_remaining_time_in_millis", None)
    milliseconds = 0 if ask is None or getattr(lambda_context, "deadline_ms", 0) is None else ask()
    return timedelta(milliseconds=milliseconds) if milliseconds > 0 else None


def warn_before_limit(
    execution_arn: str, lambda_context: object, margin: float, loop: asyncio.AbstractEventLoop
) -> asyncio.TimerHandle | None:
    """Log where the workflow is, ``margin`` seconds before the time limit.

    :return: to be cancelled when the invocation ends; None: there is no limit
    """
    left = remaining_time(lambda_context)
    if left is None:
        return None
    return loop.call_later(max(0.0, left.total_seconds() - margin), _warn, execution_arn, lambda_context)


def _warn(execution_arn: str, lambda_context: object) -> None:
    from durable_async._engine.stacks import format_stacks  # few invocations reach their limit

    left = remaining_time(lambda_context) or timedelta()
    logger.warning(
        "%s: the time limit of this invocation is over in %.1f s. Then another invocation continues from what is on "
        "record. A step that takes longer than the limit never ends: raise the function's timeout, or divide the step. "
        "The workflow is here:\n%s",
        execution_arn,
        left.total_seconds(),
        format_stacks(execution_arn),
    )
