"""Tests of workflows: a year in milliseconds, driven from the test, and with a crash wherever you want one.

async with TestService(fulfil) as service:
execution = await service.start(order)
await execution.until_callback("approval").succeed(Decision(approved=True))
result = await execution.finish()
assert execution.step("charge").attempts == 3
"""

from durable_async.testing.execution import (
    ExecutionView,
    FinishedExecution,
    StuckError,
    TestCallback,
    TestExecution,
)
from durable_async.testing.explore import explore
from durable_async.testing.ledger import Effect, Ledger
from durable_async.testing.operations import OperationView
from durable_async.testing.outcomes import Outcomes
from durable_async.testing.report import Exploration, Fault, Finding
from durable_async.testing.running import run
from durable_async.testing.service import TestService
from durable_async.testing.virtual_time import VirtualTime

__all__ = [
    "Effect",
    "ExecutionView",
    "Exploration",
    "Fault",
    "Finding",
    "FinishedExecution",
    "Ledger",
    "OperationView",
    "Outcomes",
    "StuckError",
    "TestCallback",
    "TestExecution",
    "TestService",
    "VirtualTime",
    "explore",
    "run",
]
