"""``durable-async stop``, ``cancel``, ``pause``, ``resume``, ``redrive`` and ``delete``."""

from __future__ import annotations

import click

from durable_async._wire.operations import CLOSED_EXECUTION, OPEN_EXECUTION
from durable_async.cli.bulk import Action, Choice, act, of_executions
from durable_async.cli.options import Command, error_members
from durable_async.cli.running import run


@click.command(
    cls=Command,
    examples=(
        "stop fulfil/order-1017",
        'stop fulfil/order-1017 --error-type Fraud --error-message "stolen card"',
        "stop --tag customer=17 --yes",
    ),
)
@click.option("--error-type", help="The type of the error that is recorded.")
@click.option("--error-message", help="The message of the error that is recorded.")
@of_executions
def stop(choice: Choice, error_type: str | None, error_message: str | None) -> None:
    """Stop an execution for good, or all open ones that filters choose. A closed one does not change.

    None of its code runs afterwards: no compensation, no "finally" and no other clean-up. A running step may still end,
    but its result is not recorded.
    """
    error = error_members(error_type, error_message)
    run(act(choice, Action("stop", "StopDurableExecution", "stopped", OPEN_EXECUTION, error)))


@click.command(
    cls=Command,
    examples=(
        'cancel fulfil/order-1017 --reason "the customer called"',
        "cancel --function fulfil --since 1h --dry-run",
    ),
)
@click.option("--reason", help="The reason, which is recorded and which the workflow gets.")
@of_executions
def cancel(choice: Choice, reason: str | None) -> None:
    """Ask a workflow to end, or all that filters choose. Compensations and clean-ups run, unlike with stop.

    The operation that the workflow calls next, or that it waits for, raises ExecutionCancelledError; a step that runs
    ends first. Then the execution ends STOPPED with the reason, unless the workflow catches the error and returns. AWS
    Lambda cannot cancel.
    """
    run(
        act(
            choice,
            Action("cancel", "CancelDurableExecution", "cancellation requested", OPEN_EXECUTION, {"Reason": reason}),
        )
    )


@click.command(
    cls=Command,
    examples=(
        'pause fulfil/order-1017 --reason "carrier is on strike"',
        "pause --function ship --yes",
    ),
)
@click.option("--reason", help="The reason, shown in the history.")
@click.option("--timeout-goes-on", is_flag=True, help="Count paused time towards the execution's timeout.")
@of_executions
def pause(choice: Choice, reason: str | None, *, timeout_goes_on: bool) -> None:
    """Pause an execution, or all that filters choose.

    A running invocation may end; timers and callbacks continue, but the function is not invoked.
    """
    asked = {"Reason": reason, "ExecutionTimeoutPaused": not timeout_goes_on}
    run(act(choice, Action("pause", "PauseDurableExecution", "pause requested", ["RUNNING"], asked)))


@click.command(
    cls=Command,
    examples=("resume fulfil/order-1017", "resume --function fulfil --yes"),
)
@click.option("--reason", help="The reason, shown in the history.")
@of_executions
def resume(choice: Choice, reason: str | None) -> None:
    """Let a paused execution continue, or all that filters choose."""
    paused = ["PAUSING", "PAUSED"]
    run(act(choice, Action("resume", "ResumeDurableExecution", "resumed", paused, {"Reason": reason})))


@click.command(
    cls=Command,
    examples=(
        "redrive fulfil/order-1017",
        "redrive fulfil/order-1017 --from charge",
        "redrive --function fulfil --status FAILED --since 2h",
    ),
)
@click.option(
    "--from",
    "start",
    metavar="OPERATION",
    help="Do this operation, given by its name or id, and everything that started after it again.",
)
@of_executions
def redrive(choice: Choice, start: str | None) -> None:
    """Let a failed, timed out or stopped execution continue from what succeeded, or all that filters choose.

    The operations whose errors made it fail are done again, and so are the operations that started after them in the
    contexts around them. If operations succeeded after the failure, as compensations do, give the operation from which
    to do everything again with --from. AWS Lambda has no redrive.
    """
    ended = [status for status in CLOSED_EXECUTION if status != "SUCCEEDED"]
    run(act(choice, Action("redrive", "RedriveDurableExecution", "redriven", ended, {"From": start})))


@click.command(
    cls=Command,
    examples=("delete fulfil/order-1017", "delete --status SUCCEEDED --until 7d --yes"),
)
@of_executions
def delete(choice: Choice) -> None:
    """Delete a closed execution and its history, or all that filters choose.

    Its name can be used again, on AWS a little later.
    """
    run(act(choice, Action("delete", "DeleteDurableExecution", "deletion requested", CLOSED_EXECUTION)))
