"""Durable execution for asyncio Python.

A workflow is a coroutine; every ``await ctx.step(...)`` in it is recorded, so that after a crash, a deploy, a day-long
wait or a retry delay it is run again from the top and finds its finished work done.

What is exported here is public, and so are the modules ``embedded``, ``plugins``, ``replay``, ``serializers``,
``service`` and ``transport``. All other modules are private.
"""

from typing import TYPE_CHECKING

from durable_async._engine.limits import EngineLimits
from durable_async._lazy import names_from
from durable_async.config import StepConfig, StepSemantics
from durable_async.context import DurableContext, current_context, current_step, require_context
from durable_async.errors import (
    BatchCompletionError,
    CallbackError,
    CallbackFailedError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    ContextMisuseError,
    DurableError,
    DurableTimeoutError,
    EventError,
    ExecutionCancelledError,
    ExecutionError,
    ExecutionFailedError,
    ExecutionStoppedError,
    ExecutionTimedOutError,
    HistoryError,
    InvokeError,
    InvokeFailedError,
    InvokeStoppedError,
    InvokeTimeoutError,
    NonDeterminismError,
    NonRetryableError,
    NotDurableError,
    OperationError,
    OperationLabel,
    PayloadTooLargeError,
    RetryAfterError,
    SerializationError,
    ServiceCallError,
    StepError,
    StepInterruptedError,
    StepTimeoutError,
    StorageUnavailableError,
    WaitForConditionError,
)
from durable_async.handler import DurableHandler, durable_execution
from durable_async.logs import DurableLogger
from durable_async.serializers import Serializer, SerializerContext
from durable_async.step_context import StepContext

if TYPE_CHECKING:
    from durable_async._engine.stacks import format_stacks
    from durable_async._operations.callback import Callback
    from durable_async._operations.compensation import Compensations
    from durable_async._operations.group import BranchHandle, DurableTaskGroup
    from durable_async._operations.timeout import Deadline
    from durable_async.batch_config import BatchProgress, CompletionConfig, MapConfig, NestingType, ParallelConfig
    from durable_async.batch_result import BatchItem, BatchResult, BatchStatus, CompletionReason
    from durable_async.operation_config import (
        CallbackConfig,
        ChildConfig,
        InvokeConfig,
        WaitForCallbackConfig,
        WaitForConditionConfig,
    )
    from durable_async.plugins import DurablePlugin, PluginSource
    from durable_async.retry import JitterStrategy, RetryDecision, RetryStrategy, StrategyLike, SupportsShouldRetry
    from durable_async.wait_strategy import WaitDecision, WaitOutcome, WaitStrategy, WaitStrategyLike

__all__ = [
    "BatchCompletionError",
    "BatchItem",
    "BatchProgress",
    "BatchResult",
    "BatchStatus",
    "BranchHandle",
    "Callback",
    "CallbackConfig",
    "CallbackError",
    "CallbackFailedError",
    "CallbackSubmitterError",
    "CallbackTimeoutError",
    "ChildConfig",
    "ChildContextError",
    "Compensations",
    "CompletionConfig",
    "CompletionReason",
    "ContextMisuseError",
    "Deadline",
    "DurableContext",
    "DurableError",
    "DurableHandler",
    "DurableLogger",
    "DurablePlugin",
    "DurableTaskGroup",
    "DurableTimeoutError",
    "EngineLimits",
    "EventError",
    "ExecutionCancelledError",
    "ExecutionError",
    "ExecutionFailedError",
    "ExecutionStoppedError",
    "ExecutionTimedOutError",
    "HistoryError",
    "InvokeConfig",
    "InvokeError",
    "InvokeFailedError",
    "InvokeStoppedError",
    "InvokeTimeoutError",
    "JitterStrategy",
    "MapConfig",
    "NestingType",
    "NonDeterminismError",
    "NonRetryableError",
    "NotDurableError",
    "OperationError",
    "OperationLabel",
    "ParallelConfig",
    "PayloadTooLargeError",
    "PluginSource",
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
    "StorageUnavailableError",
    "StrategyLike",
    "SupportsShouldRetry",
    "WaitDecision",
    "WaitForCallbackConfig",
    "WaitForConditionConfig",
    "WaitForConditionError",
    "WaitOutcome",
    "WaitStrategy",
    "WaitStrategyLike",
    "current_context",
    "current_step",
    "durable_execution",
    "format_stacks",
    "require_context",
]

_LATER = {
    "BatchItem": "batch_result",
    "BatchProgress": "batch_config",
    "BatchResult": "batch_result",
    "BatchStatus": "batch_result",
    "BranchHandle": "_operations.group",
    "Callback": "_operations.callback",
    "CallbackConfig": "operation_config",
    "ChildConfig": "operation_config",
    "Compensations": "_operations.compensation",
    "CompletionConfig": "batch_config",
    "CompletionReason": "batch_result",
    "Deadline": "_operations.timeout",
    "DurablePlugin": "plugins",
    "DurableTaskGroup": "_operations.group",
    "InvokeConfig": "operation_config",
    "JitterStrategy": "retry",
    "MapConfig": "batch_config",
    "NestingType": "batch_config",
    "ParallelConfig": "batch_config",
    "PluginSource": "plugins",
    "RetryDecision": "retry",
    "RetryStrategy": "retry",
    "StrategyLike": "retry",
    "SupportsShouldRetry": "retry",
    "WaitDecision": "wait_strategy",
    "WaitForCallbackConfig": "operation_config",
    "WaitForConditionConfig": "operation_config",
    "WaitOutcome": "wait_strategy",
    "WaitStrategy": "wait_strategy",
    "WaitStrategyLike": "wait_strategy",
    "format_stacks": "_engine.stacks",
}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
