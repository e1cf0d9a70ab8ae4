"""Durable execution for asyncio Python.

A workflow is a coroutine; every ``await ctx.step(...)`` in it is recorded, so that after a crash, a deploy, a day-long
wait or a retry delay it is run again from the top and finds its finished work done.

What is exported here is public, and so are the modules ``durable_async.service`` and ``durable_async.transport``;
``engine``, ``operations`` and ``wire`` are not.
"""

from durable_async.config import ChildConfig, StepConfig, StepSemantics
from durable_async.context import DurableContext, current_context, current_step
from durable_async.errors import (
    ChildContextError,
    ContextMisuseError,
    DurableError,
    DurableTimeoutError,
    NonDeterminismError,
    NonRetryableError,
    NotDurableError,
    OperationError,
    PayloadTooLargeError,
    RetryAfterError,
    SerializationError,
    ServiceCallError,
    StepError,
    StepInterruptedError,
    StepTimeoutError,
)
from durable_async.handler import DurableHandler, durable_execution
from durable_async.retry import JitterStrategy, RetryDecision, RetryStrategy
from durable_async.serializers import Serializer, SerializerContext
from durable_async.step_context import StepContext

__all__ = [
    "ChildConfig",
    "ChildContextError",
    "ContextMisuseError",
    "DurableContext",
    "DurableError",
    "DurableHandler",
    "DurableTimeoutError",
    "JitterStrategy",
    "NonDeterminismError",
    "NonRetryableError",
    "NotDurableError",
    "OperationError",
    "PayloadTooLargeError",
    "RetryAfterError",
    "RetryDecision",
    "RetryStrategy",
    "SerializationError",
    "Serializer",
    "SerializerContext",
    "ServiceCallError",
    "StepConfig",
    "StepContext",
    "StepError",
    "StepInterruptedError",
    "StepSemantics",
    "StepTimeoutError",
    "current_context",
    "current_step",
    "durable_execution",
]
