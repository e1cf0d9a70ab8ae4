"""Where a service is and who calls it: the AWS session and the connections of a client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs

from durable_async._wire.text import JsonObject
from durable_async.transport._botocore import Client, Config, Session

_LOCAL = "local"  # the access key id and the secret for a service that checks neither
_READ_SECONDS = 30  # without a byte of an answer; more than the service is asked to wait before it answers


def _is_url(_: object, __: attrs.Attribute[str | None], url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # also of ``port``
        is_good = False
    if not is_good:
        instead = f"http://{url}" if url and "://" not in url else "http://127.0.0.1:9000"
        raise ValueError(f"{url!r} is not the URL of a service, such as {instead}")


@attrs.frozen
class Endpoint:
    """A service, and the credentials for it.

    :ivar url: with ``http`` or ``https``; another one raises a ``ValueError``. None: AWS Lambda
    :ivar token: the token that a service of this package asks for; None: calls are signed with AWS credentials
    :ivar region: None: ``AWS_REGION``, then the AWS configuration
    :ivar profile: of the AWS configuration; None: the environment's
    :ivar session: an aiobotocore session with other credentials; None: the AWS configuration's
    :ivar config: a botocore ``Config`` that overrides the client's own
    """

    url: str | None = attrs.field(default=None, validator=_is_url)
    token: str | None = attrs.field(default=None, repr=False)
    region: str | None = None
    profile: str | None = None
    session: Any = None
    config: Any = None

    def __str__(self) -> str:
        return self.url or "AWS Lambda"

    def open_session(self) -> Session:
        """Return an aiobotocore session that knows the operations of :mod:`durable_async.client.model`.

        A service on this machine without a token gets no real credentials, unless the environment, a profile or a
        session names them.

        :raises BotoCoreError: there is no such profile, or the configuration cannot be read
        """
        from durable_async.client.model import LAMBDA_MODEL
        from durable_async.transport._aiobotocore import new_session  # takes a third of a second

        session = new_session(LAMBDA_MODEL, self.profile)
        session.get_scoped_config()
        if self.session is not None:
            session.register_component("credential_provider", self.session.get_component("credential_provider"))
        if self.token is not None:
            session.set_credentials(self.token, _LOCAL)
        elif self.is_local and not self._has_credentials_of_its_own:
            session.set_credentials(_LOCAL, _LOCAL)
        return session

    def region_of(self, session: Session) -> str | None:
        """Return the region that is named here, by the environment or the configuration. A URL accepts any region."""
        # botocore does not read AWS_REGION.
        given = self.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
        return given or (None if self.url is None else "us-east-1")

    async def clients(self, session: Session | None = None) -> AsyncGenerator[Client]:
        """Yield an open client of Lambda, and close it afterwards.

        :param session: made by :meth:`open_session`; None: a new one
        """
        if session is None:
            session = await asyncio.to_thread(self.open_session)
        from durable_async.transport._aiobotocore import lambda_client

        opened = asynccontextmanager(lambda_client)
        async with opened(self.region_of(session), self.url, session, self._config()) as client:
            yield client

    def _config(self) -> Config:
        from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

        settings: JsonObject = {"read_timeout": _READ_SECONDS}
        if self.is_local:
            settings["proxies"] = {}  # no proxy of the environment leads back to this machine
        ours: Any = AioConfig(**settings)
        config: Config = ours if self.config is None else ours.merge(self.config)
        return config

    @property
    def is_local(self) -> bool:
        """Whether the URL is on this machine."""
        from durable_async.service.http.access import is_loopback

        host = urlsplit(self.url or "").hostname
        return host is not None and is_loopback(host)

    @property
    def _has_credentials_of_its_own(self) -> bool:
        return self.profile is not None or self.session is not None or "AWS_ACCESS_KEY_ID" in os.environ
