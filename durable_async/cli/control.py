"""``durable-async stop``, ``cancel``, ``pause``, ``resume``, ``redrive`` and ``delete``."""

from __future__ import annotations

from typing import Any

import click

from durable_async.cli import options
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.text import dump_json, local_time, with_local_times


@click.command(
    cls=Command,
    examples=(
        "stop fulfil/order-1017",
        'stop fulfil/order-1017 --error-type Fraud --error-message "stolen card"',
    ),
)
@options.execution
@click.option("--error-type", help="The type of the error that is recorded.")
@click.option("--error-message", help="The message of the error that is recorded.")
@options.as_json
@target_options
def stop(target: Target, execution: str, error_type: str | None, error_message: str | None, *, as_json: bool) -> None:
    """Stop an execution for good. A closed one does not change.

    None of its code runs afterwards: no compensation, no "finally" and no other clean-up. A running step may still end,
    but its result is not recorded.
    """
    error = options.error_members(error_type, error_message)
    run(_control(target, "StopDurableExecution", execution, "stopped", error, as_json=as_json))


@click.command(
    cls=Command,
    examples=('cancel fulfil/order-1017 --reason "the customer called"',),
)
@options.execution
@click.option("--reason", help="Is recorded, and the workflow is told.")
@options.as_json
@target_options
def cancel(target: Target, execution: str, reason: str | None, *, as_json: bool) -> None:
    """Ask a workflow to end. Its compensations and clean-ups run, unlike with stop.

    The operation that the workflow calls next, or that it waits for, raises ExecutionCancelledError; a step that runs
    ends first. Then the execution ends STOPPED with the reason, unless the workflow catches the error and returns. AWS
    Lambda cannot cancel.
    """
    run(
        _control(
            target, "CancelDurableExecution", execution, "cancellation requested", {"Reason": reason}, as_json=as_json
        )
    )


@click.command(
    cls=Command,
    examples=('pause fulfil/order-1017 --reason "carrier is on strike"',),
)
@options.execution
@click.option("--reason", help="The reason, shown in the history.")
@click.option("--timeout-goes-on", is_flag=True, help="Count paused time towards the execution's timeout.")
@options.as_json
@target_options
def pause(target: Target, execution: str, reason: str | None, *, timeout_goes_on: bool, as_json: bool) -> None:
    """Pause an execution. A running invocation may end; timers and callbacks go on, but the function is not invoked."""
    asked = {"Reason": reason, "ExecutionTimeoutPaused": not timeout_goes_on}
    run(_control(target, "PauseDurableExecution", execution, "pause requested", asked, as_json=as_json))


@click.command(
    cls=Command,
    examples=("resume fulfil/order-1017",),
)
@options.execution
@click.option("--reason", help="The reason, shown in the history.")
@options.as_json
@target_options
def resume(target: Target, execution: str, reason: str | None, *, as_json: bool) -> None:
    """Let a paused execution continue."""
    run(_control(target, "ResumeDurableExecution", execution, "resumed", {"Reason": reason}, as_json=as_json))


@click.command(
    cls=Command,
    examples=("redrive fulfil/order-1017", "redrive fulfil/order-1017 --from charge"),
)
@options.execution
@click.option(
    "--from",
    "start",
    metavar="OPERATION",
    help="Do this operation again, by its name or id, and all that started after it.",
)
@options.as_json
@target_options
def redrive(target: Target, execution: str, start: str | None, *, as_json: bool) -> None:
    """Let a failed, timed out or stopped execution go on from what succeeded.

    The operations with whose errors it failed are done again, and so is what started after them in the contexts around
    them. Nothing else is. If operations succeeded after the failure, as compensations do, say with --from from where
    on everything is to be done again. AWS Lambda has no redrive.
    """
    run(_control(target, "RedriveDurableExecution", execution, "redriven", {"From": start}, as_json=as_json))


@click.command(
    cls=Command,
    examples=("delete fulfil/order-1017",),
)
@options.execution
@options.as_json
@target_options
def delete(target: Target, execution: str, *, as_json: bool) -> None:
    """Delete a closed execution and its history. Its name can be used again, on AWS a little later."""
    run(_control(target, "DeleteDurableExecution", execution, "deletion requested", {}, as_json=as_json))


async def _control(
    target: Target, operation: str, reference: str, done: str, parameters: dict[str, Any], *, as_json: bool
) -> Exit:
    async with connected(target, writes=True) as client:
        arn = await client.arn(reference)
        answer = await client.call(operation, DurableExecutionArn=arn, **parameters)
    if as_json:
        click.echo(dump_json(with_local_times({"DurableExecutionArn": arn, **answer})))
    elif "StopTimestamp" in answer:
        click.echo(f"{done} at {local_time(answer['StopTimestamp'])}")
    else:
        click.echo(done)
    return Exit.OK
