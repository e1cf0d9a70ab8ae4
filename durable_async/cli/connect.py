"""The service that a command calls: the options that name it, and a client for it.

Commands use Lambda's API only. A passive service in this process opens the file of a service that is not running. It
runs no function and serves the API to this process alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path

import attrs
import click
from click.core import ParameterSource

from durable_async._client_per_loop import ClientPerLoop
from durable_async.cli import options
from durable_async.cli.client import Client, TypedExecutions
from durable_async.cli.exits import Unreachable
from durable_async.cli.text import one_line
from durable_async.client.connection import Endpoint
from durable_async.client.executions import Executions
from durable_async.transport._botocore import Session

_ATTEMPTS = 3  # of one call, the first included
_LOCAL_ATTEMPTS = 2  # a local server that does not listen now will not listen in a second


_WHERE = (
    "Name a running service with --endpoint or DURABLE_ASYNC_ENDPOINT, or the file of one that is not running with "
    "--store; for AWS Lambda give --region and --profile, or set AWS_REGION and AWS_PROFILE"
)


@attrs.frozen
class Target:
    """A service as the command line names it. AWS if both ``endpoint`` and ``store`` are None."""

    endpoint: str | None = None
    store: Path | None = None
    token: str | None = attrs.field(default=None, repr=False)
    region: str | None = None
    profile: str | None = None

    @property
    def service(self) -> Endpoint:
        """The service that runs; of no meaning if ``store`` is given."""
        return Endpoint(self.endpoint, self.token, self.region, self.profile)

    def __str__(self) -> str:
        return str(self.store or self.endpoint or "AWS Lambda")

    @property
    def on_aws(self) -> bool:
        """Whether it lacks what only the service of this package has."""
        return self.endpoint is None and self.store is None


_OPTIONS = (
    click.option(
        "--endpoint",
        metavar="URL",
        envvar=["DURABLE_ASYNC_ENDPOINT", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"],
        show_envvar=True,
        help="A running service.",
    ),
    click.option(
        "--store",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The file of an embedded service that is not running.",
    ),
    options.token(help="The token that the service requires."),
    click.option("--region", help="AWS region. Default: the AWS configuration."),
    click.option("--profile", help="AWS profile. Default: the AWS configuration."),
)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a service to a command, which gets them as ``target``."""

    @wraps(command)
    def with_target(
        *,
        endpoint: str | None,
        store: Path | None,
        token: str | None,
        region: str | None,
        profile: str | None,
        **rest: object,
    ) -> None:
        if store is not None and endpoint is not None:
            if click.get_current_context().get_parameter_source("endpoint") is ParameterSource.COMMANDLINE:
                raise click.UsageError("--endpoint and --store exclude each other")
            endpoint = None
        target = Target(endpoint, store, token, region, profile)
        try:
            _ = target.service
        except ValueError as error:
            raise click.UsageError(f"--endpoint: {error}") from None
        command(target=target, **rest)

    described: Callable[..., None] = with_target
    for option in reversed(_OPTIONS):
        described = option(described)
    return described


@asynccontextmanager
async def connected(target: Target, *, writes: bool = False) -> AsyncGenerator[Client]:
    """Return a client for ``target``. Opening it makes no call.

    :param writes: True if the command changes something; then no service may be using the store's file
    :raises Unreachable: the file is not a store, or cannot be opened
    """
    if target.store is None:
        async with _client(target.service, str(target)) as client:
            yield client
    else:
        from durable_async.cli.passive import serving

        async with (
            serving(target.store, writes=writes) as (url, token),
            _client(Endpoint(url, token), str(target.store)) as client,
        ):
            yield client


@asynccontextmanager
async def executions_of(target: Target) -> AsyncGenerator[Executions]:
    """Return the executions of ``target``, to be read. Those of a file are read without HTTP.

    :raises Unreachable: the file is not a store, or cannot be opened
    """
    if target.store is None:
        async with connected(target) as client:
            yield client.typed()
    else:
        from durable_async.cli.passive import opened

        async with opened(target.store, writes=False) as api:
            yield TypedExecutions(api)


@asynccontextmanager
async def _client(service: Endpoint, place: str) -> AsyncGenerator[Client]:
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

    attempts = _LOCAL_ATTEMPTS if service.is_local else _ATTEMPTS
    service = attrs.evolve(service, config=AioConfig(retries={"mode": "standard", "total_max_attempts": attempts}))
    session = open_session(service)
    region = service.region_of(session)
    if region is None or await session.get_credentials() is None:
        missing = "AWS region" if region is None else "AWS credentials"
        raise Unreachable(f"no {missing} found. {_WHERE}")
    client = Client(ClientPerLoop(partial(service.clients, session)), place, on_aws=service.url is None)
    try:
        yield client
    finally:
        await client.aclose()


def open_session(service: Endpoint) -> Session:
    """Return an aiobotocore session with the credentials for a service.

    :raises Unreachable: there is no such profile, or the configuration cannot be read
    """
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        return service.open_session()
    except BotoCoreError as error:
        raise Unreachable(one_line(str(error))) from None
