"""Test workflows: a year in milliseconds, driven from the test, and with a crash wherever you want one::

    async with TestService(fulfil) as service:
        execution = await service.start(order)
        await execution.until_callback("approval").succeed(Decision(approved=True))
        result = await execution.finish()
        assert execution.step("charge").attempts == 3

The pytest plugin, which makes fixtures of it, is :mod:`durable_async.testing.plugin`.
"""

from typing import TYPE_CHECKING

from durable_async._lazy import names_from

if TYPE_CHECKING:
    from durable_async.testing.cloud import CloudRunner
    from durable_async.testing.execution import (
        CallbackToCome,
        FinishedExecution,
        RecordedExecution,
        TestCallback,
        TestExecution,
    )
    from durable_async.testing.exploring import explore
    from durable_async.testing.ledger import Effect, Ledger
    from durable_async.testing.operations import OperationView
    from durable_async.testing.outcomes import Outcomes
    from durable_async.testing.report import Exploration, Fault, Problem
    from durable_async.testing.running import run
    from durable_async.testing.service import ServiceOptions, TestService
    from durable_async.testing.virtual_time import StuckError, TimedService, VirtualTime

__all__ = [
    "CallbackToCome",
    "CloudRunner",
    "Effect",
    "Exploration",
    "Fault",
    "FinishedExecution",
    "Ledger",
    "OperationView",
    "Outcomes",
    "Problem",
    "RecordedExecution",
    "ServiceOptions",
    "StuckError",
    "TestCallback",
    "TestExecution",
    "TestService",
    "TimedService",
    "VirtualTime",
    "explore",
    "run",
]

_LATER = {
    "CallbackToCome": "execution",
    "CloudRunner": "cloud",
    "Effect": "ledger",
    "Exploration": "report",
    "Fault": "report",
    "FinishedExecution": "execution",
    "Ledger": "ledger",
    "OperationView": "operations",
    "Outcomes": "outcomes",
    "Problem": "report",
    "RecordedExecution": "execution",
    "ServiceOptions": "service",
    "StuckError": "virtual_time",
    "TestCallback": "execution",
    "TestExecution": "execution",
    "TestService": "service",
    "TimedService": "virtual_time",
    "VirtualTime": "virtual_time",
    "explore": "exploring",
    "run": "running",
}
"""Imported when they are asked for: pytest imports this package with the plugin, in each run."""

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
