"""Payloads as objects of an S3 bucket. aiobotocore is imported at the first call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from typing import Any, cast

from durable_async._client_per_loop import ClientPerLoop, OwnsConnections

_ATTEMPTS = 4  # of one request, the first included
_CONNECT_TIMEOUT = 3  # seconds
_READ_TIMEOUT = 20  # seconds without a byte


class S3Storage(OwnsConnections):
    """A :class:`Storage` in a bucket of S3, or of a service with the same API.

    References are keys below the prefix, so the objects can be moved to another bucket or prefix as a whole. It needs
    ``s3:PutObject`` and ``s3:GetObject``, and ``s3:ListBucket`` to tell a missing object from a forbidden one.

    One object serves the whole process and any event loop: each loop gets its own connections, opened at its first
    call and closed with the loop. ``async with S3Storage(...) as storage`` closes them earlier.

    :param prefix: put before each key, with a ``/`` between
    :param region: None: ``AWS_REGION``, ``AWS_DEFAULT_REGION``, then the profile's
    :param endpoint_url: None: ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, the profile's, then AWS's own
    :param put_options: further parameters of ``PutObject``, such as ``{"ServerSideEncryption": "aws:kms"}``
    :param session: an aiobotocore session of your own
    :param config: a botocore ``Config``; it overrides the defaults of this class
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        region: str | None = None,
        endpoint_url: str | None = None,
        put_options: Mapping[str, object] | None = None,
        session: object = None,
        config: object = None,
    ) -> None:
        self.bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._region = region
        self._endpoint_url = endpoint_url
        self._put_options = dict(put_options or {})
        self._session = session
        self._config = config
        self._clients = ClientPerLoop(self._open_client)

    async def put(self, key: str, data: bytes) -> str:
        """Write an object, and return its key. An error is botocore's."""
        client = await self._clients.get()
        await client.put_object(**self._put_options, Bucket=self.bucket, Key=f"{self._prefix}{key}", Body=data)
        return key

    async def get(self, reference: str) -> bytes:
        """Return the contents of an object.

        :raises LookupError: there is no such object. botocore's other errors pass through
        """
        client = await self._clients.get()
        try:
            answer = await client.get_object(Bucket=self.bucket, Key=f"{self._prefix}{reference}")
        except client.exceptions.NoSuchKey:
            raise LookupError(reference) from None
        async with answer["Body"] as body:
            data: bytes = await body.read()
        return data

    async def _open_client(self) -> AsyncGenerator[Any, None]:
        # In a thread, because it imports a lot and reads large files; the workflows of this loop continue meanwhile.
        session, config = await asyncio.to_thread(_prepared, self._session)
        if self._config is not None:
            config = config.merge(self._config)
        region = self._region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        async with session.create_client(
            "s3", region_name=region, endpoint_url=self._endpoint_url, config=config
        ) as client:
            yield client


def _prepared(session: Any) -> tuple[Any, Any]:
    """Return the session to use, and the default configuration."""
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

    config = cast("Any", AioConfig)(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    return session or _shared_session(), config


@cache
def _shared_session() -> object:
    """Return the session of this process, which has already read the files that making a client reads."""
    from aiobotocore.session import get_session  # type: ignore[import-untyped]

    session = cast("Any", get_session())
    loader = session.get_component("data_loader")
    for data in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(data)
    for model in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", model)
    return session
