"""Which service a command talks to: options, and a client for what they name.

There is one way to talk, Lambda's API. The file of a service that is not running is opened by a passive service in this
process, which runs no function and serves that API to this process alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import click
from click.core import ParameterSource

from durable_async.cli import options
from durable_async.cli.client import Client
from durable_async.cli.exits import Unreachable
from durable_async.cli.text import one_line

_ATTEMPTS = 3  # of one call, the first included
_LOCAL_ATTEMPTS = 2  # what does not listen here now will not in a second
_LOCAL = "local"  # presented where nobody asks who one is


_WHERE = (
    "Name a running service with --endpoint or DURABLE_ASYNC_ENDPOINT, or the file of one that is not running with "
    "--store; for AWS Lambda give --region and --profile, or set AWS_REGION and AWS_PROFILE"
)


@attrs.frozen
class Target:
    """A service as the command line names it. Neither ``endpoint`` nor ``store``: AWS."""

    endpoint: str | None = None
    store: Path | None = None
    token: str | None = attrs.field(default=None, repr=False)
    region: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        return str(self.store or self.endpoint or "AWS Lambda")


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
    options.token(help="What the service asks of its callers."),
    click.option("--region", help="Of AWS. Without one: as every AWS tool finds it."),
    click.option("--profile", help="Of AWS credentials. Without one: as every AWS tool finds it."),
)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which service it is for; it gets them as ``target``."""

    @wraps(command)
    def with_target(
        *,
        endpoint: str | None,
        store: Path | None,
        token: str | None,
        region: str | None,
        profile: str | None,
        **rest: Any,
    ) -> None:
        if store is not None and endpoint is not None:
            if click.get_current_context().get_parameter_source("endpoint") is ParameterSource.COMMANDLINE:
                raise click.UsageError("--endpoint and --store exclude each other")
            endpoint = None
        command(target=Target(endpoint, store, token, region, profile), **rest)

    described: Callable[..., None] = with_target
    for option in reversed(_OPTIONS):
        described = option(described)
    return described


@asynccontextmanager
async def connected(target: Target, *, writes: bool = False) -> AsyncGenerator[Client]:
    """A client for ``target``. It makes no call by itself.

    :param writes: it will change something: then a store's file must not be in use
    :raises Unreachable: the file is no store, or cannot be opened
    """
    if target.store is None:
        async with _client(target, str(target)) as client:
            yield client
    else:
        from durable_async.cli.passive import serving

        async with (
            serving(target.store, writes=writes) as (url, token),
            _client(Target(endpoint=url, token=token), str(target.store)) as client,
        ):
            yield client


@asynccontextmanager
async def _client(target: Target, place: str) -> AsyncGenerator[Client]:
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

    from durable_async.transport._aiobotocore import Connection

    local = is_local(target.endpoint)
    attempts = _LOCAL_ATTEMPTS if local else _ATTEMPTS
    settings: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": attempts}}
    if local:
        settings["proxies"] = {}  # of the environment's proxies none leads back to here
    session = open_session(target)
    region = region_of(target, session)
    if region is None or await session.get_credentials() is None:
        missing = "AWS region" if region is None else "AWS credentials"
        raise Unreachable(f"no {missing} found. {_WHERE}")
    connection = Connection(region, target.endpoint, session, AioConfig(**settings))
    try:
        yield Client(connection, place)
    finally:
        await connection.aclose()


def open_session(target: Target) -> Any:
    """An aiobotocore session that knows the operations of :mod:`lambda_model <durable_async.cli.lambda_model>`.

    A service of this machine that asks for no token is not shown anybody's credentials, unless the environment or a
    profile was set for it.

    :raises Unreachable: there is no such profile, or the configuration cannot be read
    """
    from aiobotocore.session import AioSession  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    from durable_async.cli.lambda_model import LAMBDA_MODEL
    from durable_async.transport._loader import LambdaLoader

    session: Any = AioSession(profile=target.profile)
    try:
        session.get_scoped_config()
    except BotoCoreError as error:
        raise Unreachable(one_line(str(error))) from None
    session.register_component("data_loader", LambdaLoader(session.get_component("data_loader"), LAMBDA_MODEL))
    if target.token is not None:
        session.set_credentials(target.token, _LOCAL)
    elif is_local(target.endpoint) and target.profile is None and "AWS_ACCESS_KEY_ID" not in os.environ:
        session.set_credentials(_LOCAL, _LOCAL)
    return session


def region_of(target: Target, session: Any) -> str | None:
    """The one that was given, the environment's, or the profile's. For an endpoint any is good."""
    # botocore itself does not look at AWS_REGION.
    given = target.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return given or (None if target.endpoint is None else "us-east-1")


def is_local(endpoint: str | None) -> bool:
    """Whether ``endpoint`` is on this machine."""
    from durable_async.service.http.access import is_loopback

    try:
        host = urlsplit(endpoint or "").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
