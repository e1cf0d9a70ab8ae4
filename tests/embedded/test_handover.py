"""A process that starts while another has the file: it waits for as long as it is told to, and no longer."""

import asyncio
import logging
from datetime import timedelta

import pytest

from durable_async.embedded import DurableService
from durable_async.service import StoreError
from durable_async.service.model.errors import StoreInUseError


async def test_the_next_service_waits_for_the_end_of_the_one_before(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "durable_async.service")
    file = tmp_path / "orders.db"
    async with DurableService(file):
        following = DurableService(file, wait_for_lock=timedelta(minutes=1))
        entering = asyncio.create_task(following.__aenter__())
        while "Waiting up to 60 s for the store" not in caplog.text:
            await asyncio.sleep(0.01)
        assert not entering.done()
    async with asyncio.timeout(30):
        await entering
    await following.__aexit__(None, None, None)


async def test_without_patience_it_is_refused_at_once(tmp_path):
    async with DurableService(tmp_path / "orders.db"):
        with pytest.raises(StoreInUseError, match="is in use by process"):
            await DurableService(tmp_path / "orders.db").__aenter__()


async def test_patience_ends(tmp_path):
    async with DurableService(tmp_path / "orders.db"):
        with pytest.raises(StoreInUseError):
            await DurableService(tmp_path / "orders.db", wait_for_lock=timedelta(seconds=0.3)).__aenter__()


async def test_what_is_no_store_is_not_waited_for(tmp_path):
    (tmp_path / "orders.db").write_text(
        "no SQLite file, but long enough to be taken for one by who looks at sizes alone"
    )
    async with asyncio.timeout(30):
        with pytest.raises(StoreError):
            await DurableService(tmp_path / "orders.db", wait_for_lock=timedelta(hours=1)).__aenter__()


async def test_who_waits_can_be_cancelled(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "durable_async.service")
    async with DurableService(tmp_path / "orders.db"):
        waiting = DurableService(tmp_path / "orders.db", wait_for_lock=timedelta(hours=1))
        entering = asyncio.create_task(waiting.__aenter__())
        while "Waiting up to" not in caplog.text:
            await asyncio.sleep(0.01)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
