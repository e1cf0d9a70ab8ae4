"""Two uvicorn workers on one file, under load. The one that has the file is killed again and again.

``DURABLE_ASYNC_OWNER_KILLS`` (3) is how often.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from itertools import count
from pathlib import Path

import attrs
import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from durable_async.embedded import DurableService, HistoryEvent

from .massacre import PATIENCE, ROOT, Line
from .shop import expected

KILLS = int(os.environ.get("DURABLE_ASYNC_OWNER_KILLS", "3"))
CUSTOMERS = 4
ONCE = ("charge", "ship")

pytestmark = pytest.mark.slow


@attrs.define
class Shop:
    """The two workers, and what their customers saw."""

    folder: Path
    url: str
    placed: set[int] = attrs.field(factory=set)
    receipts: dict[int, list] = attrs.field(factory=dict)
    answered: list[float] = attrs.field(factory=list)
    killed: list[float] = attrs.field(factory=list)
    takeovers: list[float] = attrs.field(factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "orders.db"

    def owner(self) -> int:
        """The process that had the file last. Only reads, and so takes no lock from those who want the file."""
        with closing(sqlite3.connect(f"file:{self.file}-lock?mode=ro", uri=True)) as lock:
            return lock.execute("SELECT pid FROM holder").fetchone()[0]

    async def insist(self, session, method, path):
        """Call until it is answered, as a customer does who does not know what became of the call."""
        while True:
            try:
                async with session.request(method, self.url + path) as answer:
                    if answer.status < 300:
                        return await answer.json() if answer.status != 204 else None
                    assert answer.status in {503, 404}, await answer.text()
            except (ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.02)

    async def customer(self, session, numbers, ended):
        while not ended.is_set():
            number = next(numbers)
            await self.insist(session, "PUT", f"/orders/{number}")
            self.placed.add(number)
            await self.insist(session, "POST", f"/orders/{number}/approval")
            self.receipts[number] = await self.insist(session, "GET", f"/orders/{number}")

    async def prober(self, session, ended):
        """Start an execution every few milliseconds, each time on a new connection to either worker."""
        for number in count(1_000_000):
            if ended.is_set():
                return
            await self.insist(session, "PUT", f"/orders/{number % 50 + 1_000_000}")
            self.answered.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def standby_is_there(self, session, owner):
        while True:
            seen = await self.insist(session, "GET", "/worker")
            if seen["pid"] != owner and seen["stands_by"]:
                return
            await asyncio.sleep(0.02)

    async def kill_the_owner(self, session):
        owner = self.owner()
        await self.standby_is_there(session, owner)
        await asyncio.sleep(random.uniform(0, 0.5))
        os.kill(owner, signal.SIGKILL)
        self.killed.append(time.monotonic())
        while self.owner() == owner:
            await asyncio.sleep(0.01)
        self.takeovers.append(time.monotonic() - self.killed[-1])

    async def open_for_business(self):
        ended, numbers = asyncio.Event(), count(1)
        # A new connection for each request, so that both workers get some.
        async with ClientSession(timeout=ClientTimeout(total=60), headers={"Connection": "close"}) as session:
            await self.insist(session, "GET", "/worker")
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
                for _ in range(CUSTOMERS):
                    tasks.create_task(self.customer(session, numbers, ended))
                tasks.create_task(self.prober(session, ended))
                for _ in range(KILLS):
                    await self.kill_the_owner(session)
                ended.set()

    def gaps(self) -> list[float]:
        """For each kill, the longest time without an answer around it."""
        pairs = [*zip(self.answered, self.answered[1:], strict=False)]
        return [max(after - before for before, after in pairs if after > at > before - 5) for at in self.killed]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder = tmp_path_factory.mktemp("shop")
    shop = Shop(folder, f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "uvicorn", "tests.kill.shop:app", "--workers", "2", "--log-level", "warning"]
    places = {"SHOP_DB": str(shop.file), "SHOP_JOURNAL": str(folder / "journal")}
    process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, env=os.environ | places)
    try:
        asyncio.run(shop.open_for_business())
    finally:
        process.terminate()
        process.wait(timeout=60)
    return shop


@pytest.fixture(scope="module")
def histories(shop) -> dict[str, list[HistoryEvent]]:
    async def read():
        async with DurableService(shop.file) as service:
            orders = [service.execution(each.arn) async for each in service.executions("fulfil")]
            return {each.name: await each.history() for each in orders if int(each.name[6:]) < 1_000_000}

    return asyncio.run(read())


@pytest.fixture(scope="module")
def lines(shop) -> list[Line]:
    return [Line.read(text) for text in (shop.folder / "journal").read_text().splitlines()]


def test_no_order_is_lost_and_every_receipt_is_right(shop, histories):
    assert len(shop.placed) >= CUSTOMERS
    assert shop.receipts == {number: expected(number) for number in shop.placed}
    assert {*histories} == {f"order-{number}" for number in shop.placed}


def test_every_order_is_one_execution_that_ends_once(histories):
    for history in histories.values():
        assert [event.id for event in history] == [*range(1, len(history) + 1)]
        types = Counter(event.type for event in history)
        assert types["ExecutionSucceeded"] == types["CallbackSucceeded"] == types["WaitSucceeded"] == 1


def test_nothing_is_charged_or_shipped_twice_in_an_attempt(lines, histories):
    begun = Counter(line.of for line in lines if line.what == "begin" and line.step in ONCE)
    assert len(begun) >= 2 * len(histories)
    assert {attempt: times for attempt, times in begun.items() if times > 1} == {}


def test_no_completed_step_runs_again(lines, histories):
    completed = {
        (name, event.name): event.at_us / 1_000_000
        for name, history in histories.items()
        for event in history
        if event.type == "StepSucceeded"
    }
    late = [
        line
        for line in lines
        if line.what == "begin" and line.at > completed.get((line.execution, line.step), float("inf")) + 0.002
    ]
    assert late == []


def test_only_one_worker_at_a_time_runs_steps(shop, lines):
    """After another process has begun a step, none that began one before does so again."""
    order = [line.pid for line in sorted(lines, key=lambda line: line.at) if line.what == "begin"]
    changes = [pid for before, pid in zip([None, *order], order, strict=False) if pid != before]
    assert 2 <= len({*changes}) == len(changes) <= KILLS + 1


def test_the_file_is_whole(shop):
    with sqlite3.connect(shop.file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()


def test_the_gaps_are_reported(shop, capsys):
    assert len(shop.takeovers) == KILLS
    with capsys.disabled():
        for what, seconds in (("file taken over", shop.takeovers), ("no start was answered", shop.gaps())):
            middle = sorted(seconds)[len(seconds) // 2]
            print(f"\n{KILLS} kills, {what}: median {middle:.3f} s, longest {max(seconds):.3f} s", end="")
