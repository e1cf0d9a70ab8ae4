"""The commands that change executions: one that is named, or all that filters choose."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import wraps

import attrs
import click

from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.cli import options
from durable_async.cli.client import Client
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.listing import chosen, print_executions
from durable_async.cli.tables import is_terminal
from durable_async.cli.text import dump_json, execution_name, local_time, one_line, with_local_times
from durable_async.errors import ServiceCallError

_SHOWN = 10  # of the executions that a question is about
_AT_ONCE = 8  # calls


@attrs.frozen
class Action:
    """What a command does to an execution.

    :ivar verb: its name, such as "stop"
    :ivar done: the word for the message afterwards, such as "stopped"
    :ivar statuses: the statuses of the executions that filters choose, unless the user gives others
    :ivar parameters: the parameters of the API's operation
    """

    verb: str
    operation: str
    done: str
    statuses: Sequence[str]
    parameters: JsonMembers = attrs.field(factory=JsonObject)


@attrs.frozen
class Choice:
    """The executions to change, from the command line.

    :ivar execution: the only one, by ARN or as ``FUNCTION/NAME``; None: those that ``function`` and ``filters`` choose
    :ivar filters: parameters of the API
    :ivar confirmed: True: change them without a question
    :ivar preview: True: only list the executions. False: change them
    """

    target: Target
    execution: str | None
    function: str | None
    filters: JsonMembers
    confirmed: bool
    preview: bool
    as_json: bool


def of_executions(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and the options that choose executions to a command, which gets them as ``choice``."""

    @wraps(command)
    def with_choice(
        *,
        target: Target,
        execution: str | None,
        function: str | None,
        filters: Mapping[str, object],
        yes: bool,
        dry_run: bool,
        as_json: bool,
        **rest: object,
    ) -> None:
        if execution is None and function is None and not filters:
            raise click.UsageError("give an EXECUTION, or choose executions with --function, --status, --tag, ...")
        if execution is not None and (function is not None or filters):
            raise click.UsageError("an EXECUTION and filters exclude each other")
        options.check_filters(filters, on_aws=target.on_aws)
        command(choice=Choice(target, execution, function, filters, yes, dry_run, as_json), **rest)

    described: Callable[..., None] = with_choice
    for option in (
        target_options,
        options.as_json,
        click.option("--dry-run", is_flag=True, help="Only list the executions that the filters choose."),
        click.option("--yes", is_flag=True, help="Do not ask before changing the executions that filters choose."),
        options.filters,
        click.option("--function", metavar="NAME", help="Only executions of this function."),
        click.argument("execution", metavar="[EXECUTION]", required=False),
    ):
        described = option(described)
    return described


async def act(choice: Choice, action: Action) -> Exit:
    """Do ``action`` to the execution that is named, or to all that are chosen."""
    async with connected(choice.target, writes=not choice.preview) as client:
        if choice.execution is None:
            return await _act_on_all(client, choice, action)
        arn = await client.arn(choice.execution)
        answer = {} if choice.preview else await _call(client, action, arn)
        is_stop = "StopTimestamp" in answer and not choice.as_json
        status = (await client.call("GetDurableExecution", DurableExecutionArn=arn))["Status"] if is_stop else None
    if choice.as_json:
        click.echo(dump_json(with_local_times({"DurableExecutionArn": arn, **answer})))
    elif choice.preview:
        click.echo(one_line(arn))
    elif is_stop:
        done = action.done if status == "STOPPED" else f"not stopped, because it was {status} already,"
        click.echo(f"{done} at {local_time(answer['StopTimestamp'])}")
    else:
        click.echo(action.done)
    return Exit.OK


async def _call(client: Client, action: Action, arn: str) -> JsonObject:
    return await client.call(action.operation, DurableExecutionArn=arn, **action.parameters)


async def _act_on_all(client: Client, choice: Choice, action: Action) -> Exit:
    filters = {"Statuses": [*action.statuses], **choice.filters}
    if impossible := [status for status in filters["Statuses"] if status not in action.statuses]:
        raise click.UsageError(f"{action.verb} is not possible for {', '.join(impossible)}")
    found = [item async for item in chosen(client, choice.target, choice.function, None, filters)]
    if choice.preview or not choice.confirmed:
        _preview(found, choice)
    if not found and not choice.as_json:
        click.echo("no execution fits")
    if not found or choice.preview:
        return Exit.OK
    if not choice.confirmed:
        _ask(action, len(found))
    failed = 0
    with click.progressbar(length=len(found), label=action.verb, file=sys.stderr) as bar:
        async for arn, error in _changed(client, action, [str(item["DurableExecutionArn"]) for item in found]):
            failed += error is not None
            if choice.as_json:
                click.echo(dump_json({"DurableExecutionArn": arn, "Error": error}))
            elif error is not None:
                click.echo(one_line(f"{execution_name(arn)}: {error}"), err=True)
            bar.update(1)
    if not choice.as_json:
        click.echo(f"{action.done}: {len(found) - failed}" + (f", refused: {failed}" if failed else ""))
    return Exit.FAILED if failed else Exit.OK


def _preview(found: Sequence[dict[str, object]], choice: Choice) -> None:
    """Show the chosen executions: all of them with ``--dry-run``, otherwise the first ones."""
    if choice.as_json:
        for item in found:
            click.echo(dump_json(with_local_times(item)))
        return
    shown = found if choice.preview else found[:_SHOWN]
    if shown:
        print_executions([*shown], of_one_function=choice.function is not None)
    if len(found) > len(shown):
        click.echo(f"and {len(found) - len(shown)} more")


def _ask(action: Action, count: int) -> None:
    """Ask the user to confirm.

    :raises click.UsageError: nobody can answer
    :raises click.Abort: the answer is no
    """
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{count} executions are chosen: give --yes to {action.verb} them without a question")
    click.confirm(
        f"{action.verb} {'this execution' if count == 1 else f'these {count} executions'}?", abort=True, err=True
    )


async def _changed(client: Client, action: Action, arns: Sequence[str]) -> AsyncIterator[tuple[str, str | None]]:
    """Yield each execution when it is changed, in any order, with the reason if the service refused to change it.

    :raises ServiceCallError: the service does not answer. What was not yielded may be changed or not
    """
    room = asyncio.Semaphore(_AT_ONCE)

    async def change(arn: str) -> tuple[str, str | None]:
        async with room:
            try:
                await _call(client, action, arn)
            except ServiceCallError as error:
                if error.status is None or error.status >= 500:
                    raise
                return arn, error.message
            return arn, None

    tasks = [asyncio.create_task(change(arn)) for arn in arns]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for task in tasks:
            task.cancel()
