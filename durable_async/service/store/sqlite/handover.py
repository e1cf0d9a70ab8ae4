"""Taking the writer's lock from a process that is about to end, as in a rolling deploy."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from durable_async.service import own_tasks
from durable_async.service.errors import StoreInUseError
from durable_async.service.store.sqlite.lock import WriterLock

logger: logging.Logger = logging.getLogger("durable_async.service")

_RETRY_SECONDS = 0.2  # one try opens a file, and the holder is not disturbed


async def take_when_free(path: Path, seconds: float) -> WriterLock:
    """
    :param path: the store's file
    :param seconds: how long to try while another store has the lock; 0: once
    :raises StoreInUseError: another store still has it
    :raises StoreError: it cannot be taken for another reason
    """
    loop = asyncio.get_running_loop()
    until, told = loop.time() + seconds, False
    while True:
        try:
            return await own_tasks.in_thread(partial(WriterLock.take, path), undo=WriterLock.release)
        except StoreInUseError as error:
            left = until - loop.time()
            if left <= 0:
                raise
            if not told:
                logger.warning("Waiting up to %.0f s for the store: %s", left, error.message)
                told = True
        await asyncio.sleep(min(_RETRY_SECONDS, left))
