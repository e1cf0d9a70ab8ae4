"""``durable-async start``: starts an execution of a function that a service serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import uuid4

import click

from durable_async.cli import options
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit, Refused
from durable_async.cli.options import Command, Tag
from durable_async.cli.running import report_end, run
from durable_async.cli.text import dump_json, one_line, payload_as_json, utf8, with_local_times


@click.command(
    cls=Command,
    examples=(
        'start fulfil --input \'{"id": "1017"}\' --name order-1017',
        "start fulfil --input order.json --wait",
        "start fulfil --tag customer=17 --tag region=eu",
        "start arn:aws:lambda:eu-west-1:123456789012:function:fulfil:7",
    ),
)
@click.argument("function", metavar="FUNCTION")
@options.event
@click.option(
    "--name", help="The execution's name: the same name and input find the same execution.  [default: a new one]"
)
@options.tags("Tags of the new execution; may be repeated. Not on AWS.")
@click.option("--wait", is_flag=True, help="Wait until it is closed, and print its result instead of its ARN.")
@options.as_json
@target_options
def start(
    target: Target,
    function: str,
    payload: str,
    name: str | None,
    *,
    tags: Sequence[Tag],
    wait: bool,
    as_json: bool,
) -> None:
    """Start an execution of a function and print its ARN.

    FUNCTION is a name or an ARN; without a qualifier it means $LATEST.
    """
    if target.store is not None:
        raise click.UsageError(
            "a store alone runs nothing: start it where the function is served, or use 'run --store'"
        )
    if tags and target.on_aws:
        raise click.UsageError("--tag: AWS Lambda has no tags of executions")
    run(_start(target, function, payload, name, tags, wait=wait, as_json=as_json))


async def _start(
    target: Target,
    function: str,
    payload: str,
    name: str | None,
    tags: Sequence[Tag],
    *,
    wait: bool,
    as_json: bool,
) -> Exit:
    async with connected(target) as client:
        answer = await client.call(
            "Invoke",
            FunctionName=function,
            Qualifier=None if _is_qualified(function) else "$LATEST",
            InvocationType="Event",
            DurableExecutionName=name or str(uuid4()),  # so that a repeated request does not start it twice
            Tags=urlencode({tag.key: tag.value for tag in tags}) or None,
            Payload=utf8(payload),
        )
        arn = answer.get("DurableExecutionArn")
        if not arn:
            raise Refused(one_line(f"{function} was invoked, but it is not durable: there is no execution"))
        if not wait:
            click.echo(dump_json({"DurableExecutionArn": arn}) if as_json else arn)
            return Exit.OK
        click.echo(arn, err=True)
        execution = await client.closed(arn)
    if as_json:
        click.echo(dump_json(with_local_times(execution)))
    elif execution["Status"] == "SUCCEEDED":
        click.echo(payload_as_json(execution.get("Result")))
    return report_end(execution, sys.stderr)


def _is_qualified(function: str) -> bool:
    from durable_async.service.model.arns import parse_function

    parsed = parse_function(function)
    return parsed is None or parsed.qualifier is not None  # the service refuses what cannot be parsed
