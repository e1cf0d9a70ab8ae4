"""``durable-async ui``: a page in the browser that shows executions."""

from __future__ import annotations

import asyncio
import secrets
import signal
import webbrowser
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import click

from durable_async._wire.text import JsonMembers
from durable_async.cli.client import Client
from durable_async.cli.connect import Target, connected, target_options
from durable_async.cli.exits import Exit
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.text import function_name, one_line
from durable_async.cli.workflow import Handler, load_all
from durable_async.errors import HistoryError, ServiceCallError, StorageUnavailableError

if TYPE_CHECKING:
    from durable_async.ui.page import Home


@attrs.frozen
class Listening:
    """Where the page is served.

    :ivar page_token: what the page asks for; None: a new one, which the printed URL contains
    """

    host: str
    port: int
    page_token: str | None = attrs.field(repr=False)
    opens: bool
    code: str | None


@click.command(
    cls=Command,
    examples=(
        "ui --endpoint http://127.0.0.1:8700",
        "ui --store orders.db",
        "ui --region eu-central-1 --profile orders",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that the page is served on.")
@click.option("--port", default=8701, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option(
    "--page-token",
    envvar="DURABLE_ASYNC_PAGE_TOKEN",
    show_envvar=True,
    help="The token that the page asks for.  [default: a new one, in the printed URL]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--code",
    metavar="MODULE[:HANDLER]",
    help="The handlers with which the page can replay executions.  [default: none]",
)
@target_options
def ui(target: Target, **values: Any) -> None:
    """Serve a page that shows executions, and has buttons to steer them.

    The page calls this command, and this command calls the service, with the usual credentials for AWS. So the browser
    gets no credentials. With --store, executions can only be looked at. Anyone who has the printed URL can see and
    steer executions until the command ends.
    """
    run(_ui(target, Listening(**values)))


async def _ui(target: Target, listening: Listening) -> Exit:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(target, listening) as url:
        click.echo(f"The page of {target} is at {url}")  # and flushes
        if listening.opens:
            await asyncio.to_thread(webbrowser.open, url)
        await ended.wait()
    return Exit.OK


@asynccontextmanager
async def serving(target: Target, listening: Listening) -> AsyncGenerator[str]:
    """Serve the page; the value is its URL, with the token if the user did not choose it."""
    from durable_async.cli.forwarding import Forwarding
    from durable_async.service.http.access import Access
    from durable_async.service.http.server import bind, serve_answers
    from durable_async.ui.page import WebPage

    token = listening.page_token or secrets.token_urlsafe()
    handlers = None if listening.code is None else load_all(listening.code)
    try:
        listener = bind(listening.host, listening.port, token=token)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot listen on {listening.host}:{listening.port}: {error}") from None
    with listener:
        async with connected(target) as client:
            replaying = None if handlers is None else partial(_replayed, client, handlers)
            page = WebPage(Forwarding(client).answer, Access(token), home(target), replaying)
            async with serve_answers(page.answer, listener) as url:
                yield f"{url}/" if listening.page_token else f"{url}/#token={token}"


def home(target: Target) -> Home:
    """Return what the page says about the service that it shows."""
    from durable_async.ui.page import Home

    named = {
        "endpoint": None if target.store else target.endpoint,
        "store": None if target.store is None else str(target.store.resolve()),
        "region": target.region,
        "profile": target.profile,
    }
    return Home(
        place=str(target),
        kind="aws" if target.store is None and target.endpoint is None else "service",
        ours=target.store is not None,
        live=target.endpoint is not None,
        writes=target.store is None,
        target={name: value for name, value in named.items() if value is not None},
    )


async def _replayed(client: Client, handlers: Mapping[str, Handler], arn: str) -> JsonMembers:
    """Return what ``durable-async replay`` reports of an execution, as JSON and as text.

    :raises ApiError: there is no such execution, or none of ``handlers`` is that of its function
    """
    from durable_async.replay import replay
    from durable_async.service.model.errors import InvalidParameterValueError

    try:
        name = function_name((await client.execution(arn, data=False))["FunctionArn"])
        handler = handlers.get(name) or (next(iter(handlers.values())) if len(handlers) == 1 else None)
        if handler is None:
            raise InvalidParameterValueError(f"--code has no handler named {name}.")
        report = await replay(handler, [event async for event in client.events(arn)], execution_arn=arn)
    except (ServiceCallError, HistoryError, StorageUnavailableError, click.ClickException) as error:
        raise InvalidParameterValueError(one_line(str(error))) from None
    return {"Text": str(report), "ReachedOperationIds": sorted(report.reached_ids), **report.as_json()}
