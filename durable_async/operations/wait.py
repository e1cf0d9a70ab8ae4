"""A wait: the service's timer, for which no process has to live."""

from __future__ import annotations

from durable_async.engine.call import Call
from durable_async.wire.operations import TERMINAL, Action
from durable_async.wire.timestamps import seconds as epoch_seconds


async def run_wait(call: Call, seconds: int) -> None:
    record = await call.look()
    if record is None:
        record = await call.commit(Action.START, WaitOptions={"WaitSeconds": seconds})
    while record is None or record["Status"] not in TERMINAL:
        due = record.get("WaitDetails", {}).get("ScheduledEndTimestamp") if record else None
        await call.park(None if due is None else epoch_seconds(due))
        record = await call.look()
