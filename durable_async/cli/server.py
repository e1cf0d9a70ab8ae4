"""What ``durable-async serve`` runs: the service, its API and its functions, until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TextIO

import attrs
import click

from durable_async.cli.exits import Unreachable
from durable_async.cli.hosting import Hosted, InProcess
from durable_async.cli.options import Named, Timeout
from durable_async.cli.telemetry import telemetry
from durable_async.embedded.cache import ExecutionCache
from durable_async.service.functions.output import bounded, json_lines
from durable_async.service.functions.remote import RemoteFunctions
from durable_async.service.functions.worker_process import Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from durable_async.service.http import bind, url_of
from durable_async.service.http.access import Access
from durable_async.service.http.dispatch import Answerer, Dispatcher
from durable_async.service.http.server import serve_answers
from durable_async.service.http.takeover import Takeover
from durable_async.service.model.errors import StoreError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.registry import OnMismatch
from durable_async.service.store.sqlite import SqliteStore

logger: logging.Logger = logging.getLogger("durable_async.service")

_EXECUTION_SECONDS = 366 * 86_400  # as in the embedded service
_IN_MEMORY_SECONDS = 300  # executions that end with the server are short
_WORKERS = 8
_CACHED_EXECUTIONS = 1000  # the suspended workflows kept in memory, with --in-process
_CACHED_SECONDS = 300.0


@attrs.frozen
class Settings:
    """The options of the command."""

    host: str
    port: int
    token: str | None = attrs.field(repr=False)
    ui: bool
    functions: Sequence[Target]
    function: Sequence[Named[Target]]
    remote: Sequence[Named[str]]
    remote_plain: Sequence[Named[str]]
    remote_concurrency: int
    workers: int | None
    max_invocations: int | None
    max_memory: int | None
    in_process: bool
    max_concurrency: int | None
    execution_timeout: Sequence[Timeout]
    cancel_before: Sequence[Timeout]
    on_mismatch: OnMismatch | None
    store: Path | None
    durability: Literal["full", "normal"]
    takeover: float | None
    log_json: Path | None
    grace: float


def run(settings: Settings) -> None:
    """Serve until a signal comes.

    :raises click.ClickException: it cannot be served; the message says why
    """
    level = logging.INFO if settings.in_process else logging.WARNING  # the records of workers go another way
    errors = bounded(sys.stderr)  # stderr may have no reader, and a log must not stop the service
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=errors)
    try:
        with suppress(asyncio.CancelledError):  # by a signal
            asyncio.run(_run(settings))
    finally:
        errors.close()
    if threading.active_count() > 1:  # functions of this process are running, which cannot be ended otherwise
        os._exit(0)


async def _run(settings: Settings) -> None:
    task = asyncio.current_task()
    assert task is not None
    _on_signal(task.cancel)
    async with _serving(settings) as (count, url):
        page = f", with a page at {url}/ui/" if settings.ui else ""
        click.echo(f"Serving {count} function{'' if count == 1 else 's'} at {url}{page}")  # and flushes
        asked_to_end = asyncio.Event()
        _on_signal(asked_to_end.set)
        await asked_to_end.wait()
        _on_signal(task.cancel)


def _on_signal(act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, act)


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncGenerator[tuple[int, str]]:
    """Serve. The value is the number of functions and the URL. No request is accepted before all are loaded."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    store = _store(settings)
    cache = ExecutionCache(_CACHED_EXECUTIONS, _CACHED_SECONDS)
    async with AsyncExitStack() as stack:  # closed in reverse order, so running functions can call the service
        observer = stack.enter_context(telemetry(os.environ, cache))
        api = LambdaApi(store=store, region=region, max_concurrency=settings.max_concurrency, observer=observer)
        listener = stack.enter_context(_bound(settings))
        stack.push_async_callback(cache.aclose)
        hosted = Hosted()
        if settings.in_process:
            await hosted.load(InProcess(api, cache), settings.functions, settings.function)
        else:
            environment = worker_environment(url_of(listener), os.environ, region=region, token=settings.token)
            pool = await _workers(stack, settings, environment)
            await hosted.load(pool, settings.functions, settings.function, max_concurrency=pool.max_workers)
        remote = await stack.enter_async_context(RemoteFunctions(max_concurrency=settings.remote_concurrency))
        _add_remote(hosted, settings, remote)
        timeouts: dict[str | None, int] = {None: _IN_MEMORY_SECONDS if store is None else _EXECUTION_SECONDS}
        timeouts |= {timeout.name: timeout.seconds for timeout in settings.execution_timeout}
        cancels: dict[str | None, int] = {before.name: before.seconds for before in settings.cancel_before}
        hosted.register(api, timeouts, settings.on_mismatch or ("fail" if store is None else "park"), cancels)
        listener.listen()  # executions from before call at once, and get their answer when the service is up
        takeover = await _open(stack, api, settings)
        url = await stack.enter_async_context(serve_answers(_answerer(api, settings, url_of(listener)), listener))
        if takeover is not None:
            stack.push_async_callback(takeover.aclose)
        stack.push_async_callback(api.aclose, grace=settings.grace)
        stack.callback(cache.drain)
        if takeover is not None:
            stack.push_async_callback(takeover.stand_down)
        yield len(hosted), url


def _answerer(api: LambdaApi, settings: Settings, url: str) -> Answerer:
    """Return what answers Lambda's API, and the page if it was asked for."""
    access = Access(settings.token)
    dispatcher = Dispatcher(api, access)
    if not settings.ui:
        return dispatcher.answer
    from durable_async.ui.page import Home, WebPage, beside

    home = Home("this server", target={"endpoint": url})
    page = WebPage(Dispatcher(api, Access(authenticated=True)).answer, access, home)
    return beside(page, "/ui", dispatcher.answer)


def _store(settings: Settings) -> SqliteStore | None:
    if settings.store is None:
        return None
    return SqliteStore(settings.store, durability=settings.durability)


def _bound(settings: Settings) -> socket.socket:
    try:
        return bind(settings.host, settings.port, token=settings.token)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot listen on {settings.host}:{settings.port}: {error}") from None


async def _workers(stack: AsyncExitStack, settings: Settings, environment: dict[str, str]) -> WorkerPool:
    sink = None
    if settings.log_json is not None:
        sink = json_lines(stack.enter_context(_appending(settings.log_json)))
    pool = WorkerPool(
        environment,
        max_workers=settings.workers or _WORKERS,
        sink=sink,
        max_invocations=settings.max_invocations,
        max_memory=settings.max_memory and settings.max_memory * 1024 * 1024,
    )
    return await stack.enter_async_context(pool)


def _appending(file: Path) -> TextIO:
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write the log: {error}") from None


def _add_remote(hosted: Hosted, settings: Settings, remote: RemoteFunctions) -> None:
    for functions, durable in ((settings.remote, True), (settings.remote_plain, False)):
        for named in functions:
            try:
                function = remote.function(named.place, durable=durable)
            except ValueError as error:
                raise click.ClickException(f"--remote {named.name}: {error}") from None
            hosted.add(named.name, named.place, function, max_concurrency=settings.remote_concurrency)


async def _open(stack: AsyncExitStack, api: LambdaApi, settings: Settings) -> Takeover | None:
    takeover = _takeover(api, settings)
    try:
        await (api.__aenter__() if takeover is None else takeover.start())
    except StoreError as error:
        raise Unreachable(error.message) from None
    stack.push_async_callback(api.aclose)
    for name, count in api.unregistered().items():
        logger.warning(
            "%d executions of '%s' are open, but this function is not served. They wait until it is", count, name
        )
    return takeover


def _takeover(api: LambdaApi, settings: Settings) -> Takeover | None:
    if settings.takeover is None or settings.store is None:
        return None
    try:
        return Takeover(api, settings.store, api.__aenter__, patience=settings.takeover)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
