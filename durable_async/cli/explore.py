"""``durable-async explore``: a workflow, again and again, with a crash at each of its boundaries."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

from durable_async.cli import options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.text import one_line
from durable_async.cli.workflow import Handler, load
from durable_async.errors import SerializationError
from durable_async.serializers import SerializerContext
from durable_async.serializers._json.annotations import parameter_type
from durable_async.serializers._json.serializer import FOREIGN_JSON


@click.command(
    name="explore",
    cls=Command,
    examples=(
        'explore orders:fulfil --input \'{"id": "1017"}\'',
        "explore orders.py:fulfil --input order.json --max-runs 50",
    ),
)
@click.argument("handler", metavar="MODULE:HANDLER")
@options.event
@click.option("--max-runs", default=200, show_default=True, type=click.IntRange(1), help="Of the workflow, at most.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="PACKAGE",
    help="Do not report that this package reads the clock, draws a random value and so on. Can be repeated.",
)
@click.option("--seed", default=0, show_default=True, help="Chooses the boundaries of a workflow that has more.")
def explore_workflow(handler: str, *, payload: str, max_runs: int, ignore: tuple[str, ...], seed: int) -> None:
    """Run a workflow with a crash at each of its boundaries, and report what goes wrong.

    Each run is in this process, in virtual time and in memory. Steps do what they do: explore a workflow whose steps
    may run many times, or replace them in a test with durable_async.testing.explore. Callbacks time out.

    The exit code is 0 if nothing was found, and 1 otherwise.
    """
    from durable_async.testing.watch import check_ignored

    chosen = load(handler)
    try:
        check_ignored(ignore)
    except ValueError as error:
        raise click.UsageError(str(error).replace("ignore=", "--ignore")) from None
    others = [each for name, each in chosen.handlers.items() if name != chosen.name]
    run(_explored(chosen.handlers[chosen.name], payload, others, max_runs=max_runs, ignore=ignore, seed=seed))


async def _explored(
    handler: Handler, payload: str, others: list[Handler], *, max_runs: int, ignore: tuple[str, ...], seed: int
) -> Exit:
    from durable_async.testing import explore

    where = SerializerContext("", "", "the execution's input", parameter_type(handler.workflow))
    try:
        event: object = FOREIGN_JSON.deserialize(payload, where)
    except SerializationError as error:
        raise click.UsageError(f"--input {error.reason}") from None
    with redirect_stdout(sys.stderr):  # what the workflow prints
        found = await explore(handler, event, *others, max_runs=max_runs, ignore=ignore, seed=seed)
    click.echo("\n".join(one_line(line) for line in str(found).splitlines()))
    return Exit.OK if found.passed else Exit.FAILED
