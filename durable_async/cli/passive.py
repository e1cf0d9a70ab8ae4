"""A service over a store's file that runs no functions and only answers this process."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from durable_async.cli.exits import Unreachable
from durable_async.service.model.errors import StoreError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.store.sqlite import SqliteStore


@asynccontextmanager
async def opened(file: Path, *, writes: bool) -> AsyncGenerator[LambdaApi]:
    """Yield the service.

    :param writes: True to write, for which no other process may use the file; False to read only
    :raises Unreachable: it is not a store, or another process writes to it
    """
    api = LambdaApi(store=SqliteStore(file, read_only=not writes), passive=True)
    try:
        await api.__aenter__()
    except StoreError as error:
        advice = " Or give --endpoint, if it serves one." if writes else ""
        raise Unreachable(f"{error.message}{advice}") from None
    try:
        yield api
    finally:
        await api.aclose()


@asynccontextmanager
async def serving(file: Path, *, writes: bool) -> AsyncGenerator[tuple[str, str]]:
    """Serve; the value is the URL and the required token. Parameters and errors are those of :func:`opened`."""
    from durable_async.service.http import serve

    token = secrets.token_urlsafe()
    async with opened(file, writes=writes) as api, serve(api, token=token) as url:
        yield url, token
