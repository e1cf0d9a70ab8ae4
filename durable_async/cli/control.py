"""``durable-async stop``, ``pause`` and ``resume``: an execution's fate, taken in hand."""

from __future__ import annotations

from typing import Any

import click

from durable_async.cli import params
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.help import Command
from durable_async.cli.running import run
from durable_async.cli.text import dump_json, local_time, with_local_times


@click.command(
    cls=Command,
    examples=(
        "stop fulfil/order-1017",
        'stop fulfil/order-1017 --error-type Fraud --error-message "stolen card"',
    ),
)
@params.execution
@click.option("--error-type", help="What is recorded as the reason.")
@click.option("--error-message", help="What is recorded as the reason.")
@params.as_json
@target_options
def stop(target: Target, execution: str, error_type: str | None, error_message: str | None, *, as_json: bool) -> None:
    """Stop an execution for good. Nothing of it runs afterwards, no compensation and no clean-up either; what it has
    done stays done. One that is closed stays as it is."""
    error = params.error_members(error_type, error_message)
    run(_control(target, "StopDurableExecution", execution, "stopped", error, as_json=as_json))


@click.command(
    cls=Command,
    examples=('pause fulfil/order-1017 --reason "carrier is on strike"',),
)
@params.execution
@click.option("--reason", help="Is recorded.")
@click.option("--timeout-goes-on", is_flag=True, help="Count paused time towards the execution's timeout.")
@params.as_json
@target_options
def pause(target: Target, execution: str, reason: str | None, *, timeout_goes_on: bool, as_json: bool) -> None:
    """Pause an execution. What runs may end; timers and callbacks go on, but the function is not invoked."""
    asked = {"Reason": reason, "ExecutionTimeoutPaused": not timeout_goes_on}
    run(_control(target, "PauseDurableExecution", execution, "pause requested", asked, as_json=as_json))


@click.command(
    cls=Command,
    examples=("resume fulfil/order-1017",),
)
@params.execution
@click.option("--reason", help="Is recorded.")
@params.as_json
@target_options
def resume(target: Target, execution: str, reason: str | None, *, as_json: bool) -> None:
    """Let a paused execution go on."""
    run(_control(target, "ResumeDurableExecution", execution, "resumed", {"Reason": reason}, as_json=as_json))


async def _control(
    target: Target, operation: str, reference: str, done: str, parameters: dict[str, Any], *, as_json: bool
) -> Exit:
    async with connected(target, writes=True) as client:
        arn = await client.arn(reference)
        answer = await client.call(operation, DurableExecutionArn=arn, **parameters)
    answer.pop("ResponseMetadata", None)
    if as_json:
        click.echo(dump_json(with_local_times({"DurableExecutionArn": arn, **answer})))
    elif "StopTimestamp" in answer:
        click.echo(f"{done} at {local_time(answer['StopTimestamp'])}")
    else:
        click.echo(done)
    return Exit.OK
