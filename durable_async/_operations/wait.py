"""A wait: a timer of the service. No process has to run meanwhile."""

from __future__ import annotations

from durable_async._engine.call import Call
from durable_async._wire.operations import TERMINAL, Action, Operation, WaitDetails
from durable_async._wire.timestamps import seconds as epoch_seconds


async def run_wait(call: Call, seconds: int) -> None:
    """Start the timer, unless it is on record, and wait until the service has ended it."""
    record = await call.read()
    if record is None:
        record = await call.commit(Action.START, WaitOptions={"WaitSeconds": seconds})
    while record is None or record["Status"] not in TERMINAL:
        await call.wait(record, scheduled_end(record))
        record = await call.read()


def scheduled_end(record: Operation | None) -> float | None:
    """Return when the service will end a wait, in epoch seconds; None if the record does not say."""
    details: WaitDetails = (record.get("WaitDetails") or {}) if record else {}
    due = details.get("ScheduledEndTimestamp")
    return None if due is None else epoch_seconds(due)
