"""``durable-async run``: a workflow, from its input to its result, in this process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import attrs
import click

from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.cli import options
from durable_async.cli.callback import Callbacks
from durable_async.cli.exits import Exit
from durable_async.cli.history import print_history
from durable_async.cli.options import Command, Replacement
from durable_async.cli.progress import Progress, shown
from durable_async.cli.replay import read_exported
from durable_async.cli.running import report_end, run
from durable_async.cli.tables import is_terminal
from durable_async.cli.text import dump_json, one_line, payload_as_json, utf8, with_local_times
from durable_async.cli.workflow import Workflow, load
from durable_async.embedded import DurableService, EventType, ExecutionDescription, ExecutionHandle, ExecutionStatus
from durable_async.service.clock import steady_time
from durable_async.service.http.rendering import event_json, execution_json
from durable_async.service.machine import InvocationRetryPolicy
from durable_async.service.runtime.api import LambdaApi
from durable_async.testing.virtual_time import VirtualTime

_PATIENCE = timedelta(seconds=10)  # connections that a step has opened


_LOGGER = logging.getLogger("durable_async")


@contextmanager
def traces_at_the_end(stream: TextIO) -> Generator[None]:
    """Write records with a traceback when the block ends, and others as they come."""
    held = _Held(stream)
    _LOGGER.addHandler(held)
    propagated, _LOGGER.propagate = _LOGGER.propagate, False
    try:
        yield
    finally:
        _LOGGER.propagate = propagated
        _LOGGER.removeHandler(held)
        held.release_all()


class _Held(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setLevel(logging.WARNING)
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._records.append(record)
        else:
            super().emit(record)

    def release_all(self) -> None:
        for record in self._records:
            click.echo(self.format(record), file=self.stream)


@attrs.define
class Answering:
    """Serves the API on a free port of this machine when a callback is open, and prints the command that answers it.

    :ivar execution: in the form ``FUNCTION/NAME``
    :ivar stack: ends the server
    """

    api: LambdaApi
    execution: str
    stack: AsyncExitStack
    _callbacks: Callbacks = attrs.field(init=False, factory=Callbacks)
    _url: str | None = attrs.field(init=False, default=None)

    async def take(self, event: JsonMembers) -> None:
        """Handle the next event of the history."""
        opened = self._callbacks.take(event)
        if opened is None:
            return
        if self._url is None:
            from durable_async.service.http import serve

            self._url = await self.stack.enter_async_context(serve(self.api))
        command = f"durable-async callback succeed {opened.id} --text yes --endpoint {self._url}"
        named = f"The callback '{opened.name}' is open." if opened.name else "A callback is open."
        click.echo(one_line(f"{named} Answer it from another shell: {command}"), file=sys.stderr)


_MAX_FAILURES = 20  # in a row, of a handler that raises
_GRACE = timedelta(seconds=10)  # for running steps, so that their results are recorded


@attrs.frozen
class Settings:
    """
    :ivar payload: the event, JSON; None: ``{}``, or that of the history
    :ivar history: an exported history that the execution continues; None: it begins
    :ivar before: the first operation of that history that is done again; None: those that failed
    :ivar timeout: of the execution
    """

    payload: str | None
    store: Path | None
    name: str | None
    timeout: timedelta
    skip_time: bool
    history: bool
    as_json: bool
    fork: TextIO | None
    before: str | None
    replace: Sequence[Replacement]


@click.command(
    name="run",
    cls=Command,
    examples=(
        'run orders:fulfil --input \'{"id": "1017"}\'',
        "run orders.py:fulfil --input order.json --skip-time --history",
        "run orders:fulfil --store orders.db --name order-1017",
        "run orders:fulfil --fork order.json --replace charge='\"receipt 7\"'",
    ),
)
@click.argument("handler", metavar="MODULE:HANDLER")
@click.option(
    "--input",
    "payload",
    metavar="JSON|FILE|-",
    callback=options.json_text,
    help="The event: JSON, a JSON file, or - for stdin.  [default: {}, or that of the history]",
)
@click.option(
    "--fork",
    metavar="HISTORY|-",
    type=click.File(encoding="utf-8", lazy=True),
    help="Continue this exported history, for example of AWS Lambda, instead of beginning.",
)
@options.fork
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=options.plain_path,
    metavar="FILE",
    help="Keep the execution there, so that it survives this process.  [default: in memory]",
)
@click.option("--name", help="Its name: the same name and input find the same execution.  [default: a new one]")
@click.option(
    "--timeout",
    default=366 * 86_400,
    metavar="SECONDS",
    type=click.IntRange(1, 366 * 86_400),
    help="Its timeout.",
)
@click.option("--skip-time", is_flag=True, help="When nothing runs, jump to the time of the next timer.")
@click.option("--history", is_flag=True, help="Print the history at the end.")
@options.as_json
def run_workflow(handler: str, *, timeout: int, **values: Any) -> None:
    """Run a workflow to its end, and print its result as JSON.

    It runs in this process, and what it does is shown on stderr. MODULE is imported from the current directory and
    the import path, or is a file; its other handlers can be invoked by their names.

    When the workflow waits for a callback, the command that answers it is shown.

    With --store, run the same command again after an interruption, with the same --name: it goes on where it was.

    With --fork, the workflow continues a recorded history: what has ended there is not done again.
    """
    if values["fork"] is None and (values["before"] is not None or values["replace"]):
        raise click.UsageError("--before and --replace are for --fork")
    run(_run(load(handler), Settings(timeout=timedelta(seconds=timeout), **values)))


async def _run(workflow: Workflow, settings: Settings) -> Exit:
    with redirect_stdout(sys.stderr):  # redirect what the workflow prints; stdout is for its result
        closed, events = await _executed(workflow, settings)
    execution = execution_json(closed)
    if settings.history and is_terminal(sys.stderr):  # elsewhere it was printed line by line
        print_history(events, sys.stderr)
    if settings.as_json:
        told = {**execution, "Events": events} if settings.history else execution
        click.echo(dump_json(with_local_times(told)))
    elif closed.status is ExecutionStatus.SUCCEEDED:
        click.echo(payload_as_json(closed.result))
    return report_end(execution, sys.stderr)


async def _executed(workflow: Workflow, settings: Settings) -> tuple[ExecutionDescription, list[JsonObject]]:
    """Return the execution as it ended, and its history."""
    gives_up = settings.store is None or settings.skip_time
    skipping = VirtualTime(datetime.now(UTC), flows=True, patience=_PATIENCE) if settings.skip_time else nullcontext()
    with skipping as virtual:
        async with (
            DurableService(
                settings.store,
                execution_timeout=settings.timeout,
                retries=InvocationRetryPolicy(max_failures=_MAX_FAILURES if gives_up else None),
                grace=_GRACE if settings.store else timedelta(0),
                clock=virtual or steady_time,
            ) as service,
            AsyncExitStack() as stack,
        ):
            with traces_at_the_end(sys.stderr):
                execution = await _started(service, workflow, settings)
                answering = None
                if virtual is None:
                    answering = Answering(service.api, f"{workflow.name}/{execution.name}", stack)
                else:  # time jumps, so a callback cannot be answered
                    virtual.attach(service.api)
                clock = virtual or steady_time
                async with shown(sys.stderr, clock, remains=not settings.history, ticks=virtual is None) as progress:
                    events = await _watched(execution, progress, answering)
            return await execution.describe(), events


async def _watched(
    execution: ExecutionHandle[object], progress: Progress, answering: Answering | None
) -> list[JsonObject]:
    """Return the history when the execution cannot continue any more."""
    events: list[JsonObject] = []
    async for event in execution.events():
        shown_event = event_json(event)
        events.append(shown_event)
        progress.take(shown_event)
        if answering is not None:
            await answering.take(shown_event)
        # In quarantine: this process has the store, so no other can resume it.
        if event.type is EventType.EXECUTION_PAUSED and await execution.status() is ExecutionStatus.PAUSED:
            break
    return events


async def _started(service: DurableService, workflow: Workflow, settings: Settings) -> ExecutionHandle[object]:
    for name, handler in workflow.handlers.items():
        service.register(handler, name=name)
    payload = None if settings.payload is None else utf8(settings.payload)
    if settings.fork is None:
        started = await service.api.invoke(f"{workflow.name}:$LATEST", payload or b"{}", execution_name=settings.name)
    else:
        started = await service.api.fork_history(
            workflow.name,
            read_exported(settings.fork),
            before=settings.before,
            execution_name=settings.name,
            payload=payload,
            replace={each.operation: each.result for each in settings.replace},
        )
    return service.execution(started.execution_arn)
