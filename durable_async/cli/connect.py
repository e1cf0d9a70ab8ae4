"""The service that a command calls: the options that name it, and a client for it.

Commands use Lambda's API only. A passive service in this process opens the file of a service that is not running. It
runs no function and serves the API to this process alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import click
from click.core import ParameterSource

from durable_async._client_per_loop import ClientPerLoop
from durable_async._wire.text import JsonObject
from durable_async.cli import options
from durable_async.cli.client import Client
from durable_async.cli.exits import Unreachable
from durable_async.cli.text import one_line

_ATTEMPTS = 3  # of one call, the first included
_LOCAL_ATTEMPTS = 2  # a local server that does not listen now will not listen in a second
_LOCAL = "local"  # the credentials for a service that checks none


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
    """Return a client for ``target``. Opening it makes no call.

    :param writes: True if the command changes something; then no service may be using the store's file
    :raises Unreachable: the file is not a store, or cannot be opened
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

    from durable_async.transport._aiobotocore import lambda_client

    local = is_local(target.endpoint)
    attempts = _LOCAL_ATTEMPTS if local else _ATTEMPTS
    settings: JsonObject = {"retries": {"mode": "standard", "total_max_attempts": attempts}}
    if local:
        settings["proxies"] = {}  # no proxy of the environment leads back to this machine
    session = open_session(target)
    region = region_of(target, session)
    if region is None or await session.get_credentials() is None:
        missing = "AWS region" if region is None else "AWS credentials"
        raise Unreachable(f"no {missing} found. {_WHERE}")
    clients = ClientPerLoop(partial(lambda_client, region, target.endpoint, session, AioConfig(**settings)))
    try:
        yield Client(clients, place)
    finally:
        await clients.aclose()


def open_session(target: Target) -> Any:
    """Return an aiobotocore session that knows the operations of :mod:`lambda_model <durable_async.cli.lambda_model>`.

    A service on this machine without a token gets no real credentials, unless the environment or a profile sets them.

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
    """Return the region of the options, the environment or the profile. An endpoint accepts any region."""
    # botocore does not read AWS_REGION.
    given = target.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return given or (None if target.endpoint is None else "us-east-1")


def is_local(endpoint: str | None) -> bool:
    """Return whether ``endpoint`` is on this machine."""
    from durable_async.service.http.access import is_loopback

    try:
        host = urlsplit(endpoint or "").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
