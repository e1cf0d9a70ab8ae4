"""The parts of the AWS transport that need aiobotocore imported: its session, its configuration, calls and failures.

Importing this module takes a third of a second, so it is imported when the first client is needed, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.hooks import AioHierarchicalEmitter  # type: ignore[import-untyped]
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore import xform_name  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectionError,  # noqa: A004 - botocore's, which is no builtin one
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    TokenRetrievalError,
)

from durable_async.errors import ServiceCallError
from durable_async.transport._loader import LambdaLoader
from durable_async.transport.base import MISCONFIGURED

_ATTEMPTS = 4  # of one call, the first included

# botocore's defaults are a minute each, so that one dead connection could use up the time that an invocation has. A
# checkpoint is answered in milliseconds, and to repeat one is safe: the repetition carries the same ClientToken.
_CONNECT_TIMEOUT = 3  # seconds
_READ_TIMEOUT = 10  # seconds without a byte

_TRANSIENT = (
    HTTPClientError,
    ConnectionError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    TokenRetrievalError,
)


class Connection:
    """Lambda's client on one event loop: made at the first call, closed with the loop if not before.

    :param session: an aiobotocore session of the user's; it is used and not changed. None for the shared one, whose
        calls cost less
    :param config: a botocore ``Config``, whose options go before ours
    """

    def __init__(self, region: str | None, endpoint_url: str | None, session: Any, config: Any) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._session = session
        self._config = config
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._life: AsyncGenerator[Any, None] | None = None

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer's body, as botocore gives it.

        :raises ServiceCallError: with ``code`` and ``status`` if the service answered; with ``MISCONFIGURED`` if no
            request can be made; with neither if no answer came, or credentials could not be fetched just now
        """
        if self._client is None:
            await self._open(operation)
        try:
            answer: dict[str, Any] = await getattr(self._client, xform_name(operation))(**parameters)
        except (BotoCoreError, ClientError) as error:
            raise _service_call_error(operation, error) from error
        return answer

    async def _open(self, operation: str) -> None:
        async with self._opening:
            if self._client is not None:
                return
            life = self._clients()
            try:
                self._client = await anext(life)
            except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
                raise _service_call_error(operation, error) from error
            self._life = life

    async def _clients(self) -> AsyncGenerator[Any, None]:
        """One client, as a generator: a loop ends its asynchronous generators before it closes.

        So a program that forgets its client leaves no connection open.
        """
        session = self._session or shared_session()
        config = _default_config(session)
        if self._config is not None:
            config = config.merge(self._config)
        async with session.create_client(
            "lambda", region_name=self._region, endpoint_url=self._endpoint_url, config=config
        ) as client:
            client.meta.events.register_first("needs-retry.lambda", _retry_rules(client))
            yield client

    async def aclose(self) -> None:
        if self._life is not None:
            await self._life.aclose()


class _Emitter(AioHierarchicalEmitter):  # type: ignore[misc]
    """Registers handlers without looking at their signatures.

    A session registers 120 of botocore's own. To inspect each takes longer than to make the client.
    """

    def _verify_accept_kwargs(self, func: object) -> None:
        """Does nothing."""


@cache
def shared_session() -> Any:
    """The process's own session: it holds the credentials, and what was read from disk."""
    session = cast("Any", AioSession(event_hooks=_Emitter()))
    loader = LambdaLoader(session.get_component("data_loader"))
    loader.warm_up()
    session.register_component("data_loader", loader)
    return session


def _default_config(session: Any) -> Any:
    return cast("Any", AioConfig)(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        parameter_validation=False,  # the engine makes valid updates, and the service checks them anyway
        user_agent=_user_agent(session),
    )


def _user_agent(session: Any) -> str:
    """A fixed text, for botocore would build its own anew for each request. To this it adds its name and version."""
    try:
        ours = version("durable-async")
    except PackageNotFoundError:  # run from a source tree
        ours = "dev"
    theirs = session.user_agent().removesuffix(f" {session.user_agent_extra}")  # which botocore adds
    application = session.get_config_variable("user_agent_appid")
    return f"{theirs} durable-async/{ours}" + (f" app/{application}" if application else "")


def _retry_rules(client: Any) -> Callable[..., float | bool | None]:
    """Two rules that go before botocore's own.

    A lost connection is replaced at once, and an encryption key that the service cannot use is not tried again.
    A connection kept open over a pause of the process (Lambda freezes it between invocations) is often found dead;
    botocore's first retry would come half a second later, on average.
    """
    attempts_allowed = client.meta.config.retries["total_max_attempts"]

    def needs_retry(
        attempts: int, response: tuple[Any, dict[str, Any]] | None, caught_exception: Exception | None, **_: Any
    ) -> float | bool | None:
        """A delay in seconds, False for no retry, or None to leave it to the next rule."""
        if isinstance(caught_exception, ConnectionClosedError | EndpointConnectionError) and attempts == 1:
            return 0.0 if attempts_allowed > 1 else False
        if response is not None and str(response[1].get("Error", {}).get("Code")).startswith("KMS"):
            return False
        return None

    return needs_retry


def _service_call_error(operation: str, error: Exception) -> ServiceCallError:
    match error:
        case ClientError():
            answer: dict[str, Any] = cast("Any", error).response
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
