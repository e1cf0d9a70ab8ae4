"""``durable-async redrive`` and ``cancel``, on a running service and on the file of one that does not run."""

import asyncio

from durable_async import ExecutionFailedError
from durable_async.cli.exits import Exit
from durable_async.embedded import DurableService

from . import workflows
from .command import durable_async


def kinds(service, arn):
    """As boto3 reads them."""
    return [
        event["EventType"] for event in service.client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    ]


def test_on_a_running_service_and_boto3_reads_the_history(service):
    arn = service.start("fail", "redriven")
    service.until(arn, "ExecutionFailed")
    ended = service("redrive", "fail/redriven")
    assert (ended.code, ended.err) == (0, "")
    followed = service("history", "fail/redriven", "--follow")
    assert followed.code == 0
    events = [line.split()[2] for line in followed.lines[1:]]
    assert events.count("ExecutionFailed") == 2
    assert events.count("ExecutionRedriven") == 1
    assert "1 operations are done again" in followed.out
    assert kinds(service, arn) == events
    shown = service("show", "fail/redriven", "--json")
    assert shown.json["Status"] == "FAILED"


def test_what_the_service_refuses(service):
    arn = service.start("count", "succeeded", "1")
    service.until(arn, "ExecutionSucceeded")
    refused = service("redrive", arn)
    assert refused.code == Exit.REFUSED
    assert "SUCCEEDED and cannot be redriven" in refused.err
    arn = service.start("fail", "from-nowhere")
    service.until(arn, "ExecutionFailed")
    refused = service("redrive", arn, "--from", "nothing")
    assert refused.code == Exit.REFUSED
    assert "no operation with the id or the name 'nothing'" in refused.err


def test_in_a_file_it_goes_on_when_a_service_has_it(tmp_path):
    store = tmp_path / "orders.db"

    async def until_it_fails():
        async with DurableService(store) as service:
            service.register(workflows.fail)
            execution = await service.find("fail", "broken") or await service.start(workflows.fail, {}, name="broken")
            try:
                await execution.result()
            except ExecutionFailedError:
                return [event.type for event in await execution.history()]

    first = asyncio.run(until_it_fails())
    assert durable_async("redrive", "fail/broken", "--store", store).code == 0
    shown = durable_async("show", "fail/broken", "--store", store, "--json").json
    assert shown["Status"] == "RUNNING"
    second = asyncio.run(until_it_fails())
    assert second[: len(first)] == first
    assert second[len(first)] == "ExecutionRedriven"
    assert second.count("StepFailed") == 2 * first.count("StepFailed")


def test_cancel_on_a_running_service_and_boto3_reads_the_history(service):
    arn = service.start("ask", "cancelled")
    service.until(arn, "InvocationCompleted")
    ended = service("cancel", "ask/cancelled", "--reason", "nobody asks any more")
    assert (ended.code, ended.err) == (0, "")
    service.until(arn, "ExecutionStopped")
    assert "ExecutionCancellationRequested" in kinds(service, arn)
    assert (
        service.client.get_durable_execution(DurableExecutionArn=arn)["Error"]["ErrorMessage"] == "nobody asks any more"
    )
    assert "nobody asks any more" in service("show", arn).out
    assert service("cancel", arn).code == Exit.REFUSED
