"""Several services on one store's file: one has it, the others stand by and take over when it ends.

A service that stands by sends what it is asked to the one that has the file. So callers may ask either, and nothing is
ever written by two.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path

from durable_async.service import own_tasks
from durable_async.service.http.access import Access
from durable_async.service.http.dispatch import Dispatcher
from durable_async.service.http.server import serve_answers
from durable_async.service.model.errors import StoreError, StoreInUseError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.views import OwnerAddress
from durable_async.service.store.sqlite.lock import is_held

logger: logging.Logger = logging.getLogger("durable_async.service")

_LONGEST_PATH = 100  # bytes; the limit of some systems for the address of a socket
_LOOK_SECONDS = 0.05  # between two looks whether the file is free


class Takeover:
    """Opens a service when no other one has its file, and until then lets it stand by.

    :param store: the path of the file
    :param open_api: opens the service; raises ``StoreInUseError`` while another one has the file
    :param patience: seconds that a call waits, while no service has the file
    :param retry_store: seconds until a file that could not be opened is tried again
    :raises ValueError: the path is too long
    """

    def __init__(
        self,
        api: LambdaApi,
        store: Path,
        open_api: Callable[[], Awaitable[object]],
        *,
        patience: float,
        retry_store: float = 2.0,
    ) -> None:
        self._api = api
        self._store = store
        self._open_api = open_api
        self._retry_store = retry_store
        self._owner = OwnerAddress(str(socket_of(store)), patience)
        self._serving = AsyncExitStack()
        self._standing_by: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the service, or stand by if another one has the file.

        :raises StoreError: the file cannot be used
        """
        try:
            await self._take_over()
        except StoreInUseError as error:
            logger.warning("Standing by: %s", error.message)
            self._api.owner = self._owner
            self._standing_by = own_tasks.start(self._stand_by())

    async def stand_down(self) -> None:
        """Stand by no longer. To be called before the service is closed."""
        if self._standing_by is not None:
            self._standing_by.cancel()
            await asyncio.wait([self._standing_by])

    async def aclose(self) -> None:
        """Answer those who stand by no longer. To be called after the service is closed, which ends their waiting."""
        await self._serving.aclose()

    async def _stand_by(self) -> None:
        await asyncio.to_thread(import_module, "durable_async.service.http.app")  # now, and not while callers wait
        told = ""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if is_held(self._store):
                continue
            try:
                await self._take_over()
            except StoreInUseError:
                continue  # where it cannot be seen before, or a third service was quicker
            except Exception as error:  # whatever it is, it may pass, and callers wait
                if str(error) != told:
                    told = str(error)
                    logger.exception("Cannot take over: %s", told, exc_info=not isinstance(error, StoreError))
                await asyncio.sleep(self._retry_store)
            else:
                logger.warning("Took over %s", self._store)
                return

    async def _take_over(self) -> None:
        await self._open_api()
        self._api.owner = None
        try:
            await self._serving.enter_async_context(serve_others(self._api, Path(self._owner.socket)))
        except OSError as error:
            logger.warning("Services that stand by cannot ask this one: %s: %s", self._owner.socket, error)


def socket_of(store: Path) -> Path:
    """Return where the socket of a store is.

    :raises ValueError: the path is too long for the address of a socket
    """
    path = Path(f"{store.resolve()}-socket")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ValueError(f"{path} is too long for a socket: takeover needs a path of at most {_LONGEST_PATH} bytes")
    return path


@asynccontextmanager
async def serve_others(api: LambdaApi, path: Path) -> AsyncGenerator[None]:
    """Answer the services that stand by. To be entered by the one that has the file."""
    answer = Dispatcher(api, Access(authenticated=True)).answer
    async with serve_answers(answer, _bound(path)):  # the file stays behind: it may be the next one's soon
        yield


def _bound(path: Path) -> socket.socket:
    """Return a socket at ``path`` that does not listen yet, in place of that of a service that has ended."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # nobody can connect before it listens
    except OSError:
        listener.close()
        raise
    return listener
