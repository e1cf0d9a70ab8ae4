"""The parts of the AWS transport that need aiobotocore imported: its session, its configuration, calls and failures.

Importing this module takes a third of a second, so it is imported when the first client is made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Any, cast

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.hooks import AioHierarchicalEmitter  # type: ignore[import-untyped]
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore import xform_name  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectionError,  # noqa: A004 - botocore's, not the builtin one
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    TokenRetrievalError,
)

from durable_async._client_per_loop import ClientPerLoop
from durable_async._wire.text import JsonObject
from durable_async.errors import ServiceCallError
from durable_async.transport._botocore import Client, Config, Session
from durable_async.transport._loader import LambdaLoader
from durable_async.transport._model import SERVICE_MODEL
from durable_async.transport._tls import TlsWhenNeeded, make_tls_ready
from durable_async.transport.base import MISCONFIGURED

_ATTEMPTS = 4  # of one call, the first included

# botocore's defaults are a minute each, so one dead connection could use up the time of an invocation. A checkpoint
# is answered in milliseconds, and repeating it is safe, because the repetition has the same ClientToken.
_CONNECT_TIMEOUT = 3  # seconds
_READ_TIMEOUT = 10  # seconds without a byte

_TRANSIENT = (
    HTTPClientError,
    ConnectionError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    TokenRetrievalError,
)


async def call(clients: ClientPerLoop, operation: str, parameters: JsonObject) -> JsonObject:
    """Return the body of the answer, as botocore gives it.

    :raises ServiceCallError: with ``code`` and ``status`` if the service answered; with ``MISCONFIGURED`` if no request
        can be made; with neither if no answer came or credentials could not be fetched now
    """
    try:
        client = await clients.get()
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is not a URL
        raise _service_call_error(operation, error) from error
    try:
        answer: JsonObject = await getattr(client, xform_name(operation))(**parameters)
    except (BotoCoreError, ClientError) as error:
        raise _service_call_error(operation, error) from error
    return answer


async def lambda_client(
    region: str | None, endpoint_url: str | None, session: Session | None, config: Config | None
) -> AsyncGenerator[Client, None]:
    """Yield an open client of Lambda, and close it afterwards.

    :param session: an aiobotocore session of the user, which is not changed. None: the shared one, whose calls cost
        less
    :param config: a botocore ``Config``, which overrides ours
    """
    session = session or shared_session()
    ours = _default_config(session)
    async with session.create_client(
        "lambda",
        region_name=region,
        endpoint_url=endpoint_url,
        config=ours if config is None else ours.merge(config),
    ) as client:
        client.meta.events.register_first("needs-retry.lambda", _retry_rules(client))
        yield client


class _Emitter(AioHierarchicalEmitter):  # type: ignore[misc]
    """Registers handlers without looking at their signatures.

    A session registers 120 handlers of botocore. Inspecting them takes longer than making the client.
    """

    def _verify_accept_kwargs(self, func: object) -> None:
        """Do nothing, because the check takes long and only warns."""


def make_ready(*, tls: bool) -> None:
    """Read what the first client of the shared session reads, and with ``tls`` the certificates that it needs."""
    if not tls:
        shared_session()
        return
    certificates = Thread(target=make_tls_ready)  # most of it releases the GIL
    certificates.start()
    shared_session()
    certificates.join()


@cache
def shared_session() -> Session:
    """Return the session of this process, which has the credentials and the data read from disk."""
    return new_session(SERVICE_MODEL)


def new_session(model: JsonObject, profile: str | None = None) -> Session:
    """Return a session whose Lambda has the operations of ``model``, with the data of its first client read from disk.

    :param profile: of the AWS configuration; None: the environment's
    """
    session = cast("Session", AioSession(profile=profile, event_hooks=_Emitter()))
    loader = LambdaLoader(session.get_component("data_loader"), model)
    loader.warm_up()
    session.register_component("data_loader", loader)
    return session


def _default_config(session: Session) -> Config:
    config: Config = cast("Any", AioConfig)(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        http_session_cls=TlsWhenNeeded,
        parameter_validation=False,  # the engine makes valid updates, and the service checks them anyway
        user_agent=_user_agent(session),
    )
    return config


def _user_agent(session: Session) -> str:
    """Return a fixed text, because botocore would build its own for each request. It adds its name and version."""
    try:
        ours = version("durable-async")
    except PackageNotFoundError:  # run from a source tree
        ours = "dev"
    theirs = session.user_agent().removesuffix(f" {session.user_agent_extra}")  # which botocore adds
    application = session.get_config_variable("user_agent_appid")
    return f"{theirs} durable-async/{ours}" + (f" app/{application}" if application else "")


def _retry_rules(client: Client) -> Callable[..., float | bool | None]:
    """Return two rules that apply before botocore's own.

    A lost connection is replaced at once, and an encryption key that the service cannot use is not tried again. A
    connection that was kept open while the process was frozen (Lambda does so between invocations) is often dead, and
    botocore's first retry would come half a second later, on average.
    """
    attempts_allowed = client.meta.config.retries["total_max_attempts"]

    def needs_retry(
        attempts: int, response: tuple[object, JsonObject] | None, caught_exception: Exception | None, **_: object
    ) -> float | bool | None:
        """Return a delay in seconds, False for no retry, or None to let the next rule decide."""
        if isinstance(caught_exception, ConnectionClosedError | EndpointConnectionError) and attempts == 1:
            return 0.0 if attempts_allowed > 1 else False
        if response is not None and str(response[1].get("Error", {}).get("Code")).startswith("KMS"):
            return False
        return None

    return needs_retry


def _service_call_error(operation: str, error: Exception) -> ServiceCallError:
    match error:
        case ClientError():
            answer: JsonObject = cast("Any", error).response
            return ServiceCallError(
                operation,
                answer["Error"].get("Message", ""),
                code=answer["Error"].get("Code"),
                status=answer["ResponseMetadata"].get("HTTPStatusCode"),
            )
        case _ if isinstance(error, _TRANSIENT):
            return ServiceCallError(operation, str(error))
        case NoRegionError():
            advice = "no AWS region: give the client one, or set AWS_REGION"
        case NoCredentialsError():
            advice = (
                "no AWS credentials: give the process a role, set AWS_PROFILE, or set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (to any values if the service is a local one)"
            )
        case _:
            advice = str(error)
    return ServiceCallError(operation, advice, code=MISCONFIGURED)
