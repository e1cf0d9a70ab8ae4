"""A record that does not fit into the envelope: the handler asks for the rest over HTTP, page by page."""

import asyncio
import json
from datetime import timedelta

import pytest

from durable_async import durable_execution
from durable_async.service import Limits

from .relay import Relay
from .remote import RemoteWorld


def without_operations(envelope):
    """As a service may send it whose first page is empty: everything, the input too, stands on later ones."""
    envelope["InitialExecutionState"] = {"Operations": [], "NextMarker": "0"}
    return envelope


def only_the_first_operation_missing(envelope):
    """The input's page comes last of all, after an operation that the workflow asks for at once."""
    operations = envelope["InitialExecutionState"]["Operations"]
    envelope["InitialExecutionState"] = {"Operations": operations[1:], "NextMarker": "0"}
    return envelope


PAGED = Limits(page_operations=2)
SMALL = Limits(page_bytes=4000)


@pytest.mark.parametrize(
    ("limits", "edit", "pages"),
    [
        pytest.param(PAGED, lambda envelope: envelope, [0, 3], id="two operations a page"),
        pytest.param(SMALL, lambda envelope: envelope, [0, 2], id="four kilobytes a page"),
        pytest.param(PAGED, without_operations, [1, 4], id="nothing on the first page"),
        pytest.param(Limits(), without_operations, [1, 1], id="nothing on the first of two pages"),
        pytest.param(Limits(), only_the_first_operation_missing, [1, 1], id="the execution on the last page"),
    ],
)
async def test_what_is_on_a_later_page_is_found_and_does_not_run_again(limits, edit, pages):
    ran, pages_by_invocation = [], []

    async def body(n):
        ran.append(n)
        return f"{n}" * 1000

    @durable_execution
    async def workflow(event, ctx):
        first = [await ctx.step(body, n, name=f"step-{n}") for n in range(event["first"])]
        rest = await asyncio.gather(*(ctx.step(body, n, name=f"step-{n}") for n in range(event["first"], 5)))
        await ctx.wait(timedelta(seconds=1))
        return [*first, *rest]

    async with RemoteWorld(limits=limits, edit=edit) as world, Relay.before(world.url, {}) as relay:
        await world.reach(relay.url)
        arn = await world.start(workflow, b'{"first": 3}')
        await world.settle()
        pages_by_invocation.append(sum(not passed.body for passed in relay.passed))
        closed = await world.finish(arn)
        pages_by_invocation.append(sum(not passed.body for passed in relay.passed) - pages_by_invocation[0])
        types = await world.event_types(arn)
    assert ran == [0, 1, 2, 3, 4]
    assert json.loads(closed.result) == [f"{n}" * 1000 for n in range(5)]
    assert pages_by_invocation == pages
    assert world.invocations == 2
    assert types.count("StepStarted") == 5


async def test_the_answer_of_a_replay_does_not_wait_for_pages_that_it_does_not_need():
    """The first step is in the envelope: the workflow has come by it before the page with the second is here."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        seen.append(await ctx.step(lambda: "first", name="first"))
        seen.append([ctx.is_replaying, len(relay.passed) - before])
        seen.append(await ctx.step(lambda: "second", name="second"))
        await ctx.wait(timedelta(seconds=1))

    async with RemoteWorld(limits=PAGED) as world, Relay.before(world.url, {}) as relay:
        await world.reach(relay.url)
        before = 0
        arn = await world.start(workflow)
        await world.settle()
        seen.clear()
        before = len(relay.passed)
        await world.finish(arn)
    assert seen == ["first", [True, 0], "second"]


async def test_an_operation_of_a_later_page_that_the_workflow_does_not_ask_for_any_more_is_a_mismatch():
    old = []

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: 1, name="a")
        await ctx.step(lambda: 2, name="c" if old else "b")
        old.append(True)
        await ctx.wait(timedelta(seconds=1))

    async with RemoteWorld(limits=Limits(page_operations=1)) as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "Step 'c'" in closed.error["ErrorMessage"] and "Step 'b'" in closed.error["ErrorMessage"]
