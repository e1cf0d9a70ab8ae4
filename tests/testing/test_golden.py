"""A history from elsewhere is checked against today's code."""

import json
from datetime import timedelta

import pytest

from durable_async import DurableContext, HistoryError, durable_execution
from durable_async.service.http import event_json
from durable_async.testing import TestService
from durable_async.testing.golden import check

pytestmark = pytest.mark.anyio


def workflow(name: str):
    @durable_execution
    async def waiting(event: dict, ctx: DurableContext) -> str:
        await ctx.wait(timedelta(days=1))
        return await ctx.step(lambda: "done", name=name)

    return waiting


async def test_an_exported_history_is_replayed():
    async with TestService(workflow("work")) as service:
        execution = await service.start({})
        await execution.finish()
        exported = json.loads(json.dumps({"Events": [event_json(event) for event in execution.events]}))
    await check(workflow("work"), exported)
    with pytest.raises(AssertionError, match=r"(?s)does not replay order-17.json:.*toil"):
        await check(workflow("toil"), exported, source="order-17.json")
    with pytest.raises(HistoryError):
        await check(workflow("work"), {"Events": "none"})
