"""``durable-async doctor``: what is not well, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import attrs
import click

from durable_async.cli import params
from durable_async.cli.connect import Target, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.findings import STYLES, Finding, Health
from durable_async.cli.help import Command
from durable_async.cli.machine_checks import check_machine
from durable_async.cli.running import run
from durable_async.cli.service_checks import check_service
from durable_async.cli.store_checks import check_store
from durable_async.cli.tables import console, is_terminal
from durable_async.cli.text import dump_json, one_line


@click.command(
    cls=Command,
    examples=("doctor", "doctor --store orders.db", "doctor --endpoint http://127.0.0.1:8700 --token-file token.txt"),
)
@params.as_json
@target_options
def doctor(target: Target, *, as_json: bool) -> None:
    """Check this machine, and a service or a store, and say what to do.

    Each line is ok, warn or fail. Nothing is changed, and a store may be in use.
    """
    run(_doctor(target, as_json=as_json))


async def _doctor(target: Target, *, as_json: bool) -> Exit:
    failed = False
    async for finding in _findings(target):
        failed |= finding.health is Health.FAIL
        if as_json:
            click.echo(dump_json(attrs.asdict(finding)))
        else:
            _print(finding)
    return Exit.FAILED if failed else Exit.OK


async def _findings(target: Target) -> AsyncIterator[Finding]:
    for finding in check_machine():
        yield finding
    if target.store is not None:
        for finding in check_store(target.store):
            yield finding
    else:
        async for finding in check_service(target):
            yield finding


def _print(finding: Finding) -> None:
    advice = f": {finding.advice}" if finding.advice else ""
    said = one_line(f"{finding.subject:<12}{finding.found}{advice}")
    if is_terminal(sys.stdout):
        from rich.text import Text

        console(sys.stdout).print(Text.assemble((f"{finding.health:<6}", STYLES[finding.health]), said))
    else:
        click.echo(f"{finding.health:<6}{said}")
