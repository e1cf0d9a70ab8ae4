"""``durable-async serve``: the service, its API and the workers, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

import attrs
import click

from durable_async.cli import options
from durable_async.cli.options import FunctionMapping, NamedFunction, Timeout
from durable_async.service.engine import DurableService
from durable_async.service.http import bind, serve_on, url_of
from durable_async.service.workers import LoadError, WorkerFunction, WorkerPool, json_lines, worker_environment


@attrs.frozen
class Settings:
    host: str
    port: int
    functions: Sequence[FunctionMapping]
    function: Sequence[NamedFunction]
    execution_timeout: Sequence[Timeout]
    workers: int
    log_json: Path | None
    token: str | None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Any but a loopback address needs --token.")
@click.option("--port", default=8700, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@options.repeatable(
    "--functions",
    "MODULE[:MAPPING]",
    options.mapping,
    help="Serve every entry of a mapping. MAPPING defaults to HANDLERS.",
)
@options.repeatable("--function", "NAME=MODULE:ATTRIBUTE", options.function, help="Serve one function.")
@options.repeatable(
    "--execution-timeout",
    "[NAME=]SECONDS",
    options.timeout,
    help="Of the executions of one function, or of all.  [default: 300]",
)
@click.option("--workers", default=8, show_default=True, type=click.IntRange(1), help="Processes at most.")
@click.option(
    "--log-json",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append what functions print and log, one JSON object a line. Without it, it goes to standard error.",
)
@click.option("--store", type=click.Path(path_type=Path), help="Not supported yet: executions are kept in memory.")
@click.option("--token", envvar="DURABLE_ASYNC_TOKEN", help="Callers must present it, as bearer or access key id.")
def serve(store: Path | None, **values: object) -> None:
    """Serve functions over the Lambda API, each in a process that is not the server's.

    Modules are imported from the current directory and the import path. Point an AWS client at the URL that is
    printed: AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:8700.
    """
    if store is not None:
        raise click.UsageError("--store is not supported yet: executions are kept in memory")
    with suppress(asyncio.CancelledError):  # a signal: the way to end it
        asyncio.run(_run(Settings(**values)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def _run(settings: Settings) -> None:
    _cancel_on_signal()
    async with _serving(settings) as (count, url):
        click.echo(f"Serving {count} functions at {url}")  # and flushes
        await asyncio.Event().wait()


def _cancel_on_signal() -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncGenerator[tuple[int, str]]:
    """How many functions are served, and where. Nothing is accepted before all of them are known to load."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    with _bound(settings) as listener:
        async with AsyncExitStack() as stack:
            sink = None
            if settings.log_json is not None:
                sink = json_lines(stack.enter_context(_appending(settings.log_json)))
            environment = worker_environment(url_of(listener), os.environ, region=region, token=settings.token)
            # Ended in the opposite order: no calls, then no executions, then no workers.
            pool = await stack.enter_async_context(WorkerPool(environment, most=settings.workers, sink=sink))
            functions = await _load(pool, settings)
            service = await stack.enter_async_context(DurableService(region=region))
            _register(service, functions, settings.execution_timeout)
            url = await stack.enter_async_context(serve_on(service, listener, token=settings.token))
            yield len(functions), url


def _bound(settings: Settings) -> socket.socket:
    try:
        return bind(settings.host, settings.port, token=settings.token)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot listen on {settings.host}:{settings.port}: {error}") from None


def _appending(file: Path) -> TextIO:
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write the log: {error}") from None


async def _load(pool: WorkerPool, settings: Settings) -> dict[str, WorkerFunction]:
    found: dict[str, WorkerFunction] = {}
    try:
        for mapping in settings.functions:
            _add(found, await pool.functions_of(mapping.module, mapping.attribute))
        for function in settings.function:
            _add(found, {function.name: await pool.function(function.module, function.attribute)})
    except LoadError as error:
        raise click.ClickException(error.args[1]) from None
    return found


def _add(found: dict[str, WorkerFunction], more: dict[str, WorkerFunction]) -> None:
    if twice := found.keys() & more.keys():
        name = min(twice)
        raise click.ClickException(f"the name '{name}' is given twice: {found[name].target} and {more[name].target}")
    found |= more


def _register(service: DurableService, functions: dict[str, WorkerFunction], timeouts: Sequence[Timeout]) -> None:
    seconds = {timeout.name: timeout.seconds for timeout in timeouts}
    if unknown := seconds.keys() - functions.keys() - {None}:
        raise click.ClickException(
            f"--execution-timeout is given for '{min(filter(None, unknown))}', which is no function"
        )
    for name, function in functions.items():
        try:
            service.register(name, function, execution_timeout=seconds.get(name, seconds.get(None, 300)))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
