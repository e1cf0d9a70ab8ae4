"""Two services on one file: one has it, the other one stands by."""

import asyncio
import gc
import json
import socket
import stat
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.client import DurableClient
from durable_async.embedded import DurableService
from durable_async.service import ApiError, LambdaApi, SqliteStore, StoreError
from durable_async.service.http import serve
from durable_async.service.http.owner import ask_owner
from durable_async.service.http.takeover import Takeover
from durable_async.service.model.errors import ServiceClosedError, StoreInUseError
from durable_async.service.runtime.views import OwnerAddress

LONG = timedelta(minutes=1)
MOMENT = timedelta(seconds=0.2)


@durable_execution
async def asks(event: str, ctx: DurableContext) -> str:
    callback = await ctx.create_callback(name="approval", returns=str)
    return await callback.result()


def opened(file: Path, takeover: timedelta | None = LONG) -> DurableService:
    service = DurableService(file, takeover=takeover)
    service.register(asks)
    return service


@pytest.fixture
async def pair(tmp_path):
    """The service that has the file, and the one that stands by."""
    first, second = opened(tmp_path / "orders.db"), opened(tmp_path / "orders.db")
    await first.__aenter__()
    await second.__aenter__()
    yield first, second
    for service in (second, first):
        await service.__aexit__(None, None, None)


async def callback_of(execution):
    async for event in execution.events():
        if event.type == "CallbackStarted":
            return event.details["CallbackId"]
    raise AssertionError("no callback")


async def test_a_service_that_stands_by_takes_over_and_those_who_wait_notice_nothing(pair):
    first, second = pair
    execution = await second.start(asks, "approval", name="order-7")
    identity = await callback_of(execution)
    waiting = asyncio.create_task(execution.result())
    assert await first.execution(execution.arn).status() == "RUNNING"
    await first.__aexit__(None, None, None)
    await second.succeed_callback(identity, "yes")
    assert await waiting == "yes"
    assert await execution.history() == [event async for event in execution.events()]
    other = await second.start(asks, "approval")
    await other.stop()
    assert await other.status() == "STOPPED"


async def test_calls_wait_for_the_next_service_while_there_is_none(pair, tmp_path):
    first, second = pair
    execution = await second.start(asks, "approval")
    leaving = asyncio.create_task(first.__aexit__(None, None, None))
    statuses = await asyncio.gather(*(execution.status() for _ in range(20)))
    assert {*statuses} == {"RUNNING"}
    await leaving
    async with opened(tmp_path / "orders.db") as third:
        assert await third.execution(execution.arn).status() == "RUNNING"


async def test_each_takes_over_in_its_turn(tmp_path):
    services = [opened(tmp_path / "orders.db") for _ in range(3)]
    for service in services:
        await service.__aenter__()
    arns = []
    for service in services:
        arns.append((await services[-1].start(asks, "approval")).arn)
        await service.__aexit__(None, None, None)
    async with opened(tmp_path / "orders.db") as last:
        assert [each.arn async for each in last.executions(asks, oldest_first=True)] == arns


async def test_the_api_of_a_service_that_stands_by_asks_the_other_one(pair):
    first, second = pair
    async with serve(second.api) as url, DurableClient(url) as client:
        execution = await client.start(asks, "prüfen")
        assert json.loads((await first.execution(execution.arn).describe()).input) == "prüfen"
        await client.succeed_callback(await callback_of(execution), "yes")
        assert await execution.result() == "yes"
        with pytest.raises(ApiError) as refused:
            await client.start("nowhere", 1)
        assert refused.value.code == "ResourceNotFoundException"
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET /2015-03-31/functions HTTP/1.1\r\nHost: localhost\r\nX-Amz-Tenant-Id: \xff\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()


async def test_a_service_that_stands_by_leaves_without_the_file(pair):
    first, second = pair
    execution = await first.start(asks, "approval")
    await second.__aexit__(None, None, None)
    assert await execution.status() == "RUNNING"


async def test_only_the_user_of_the_file_can_connect(pair, tmp_path):
    found = (tmp_path / "orders.db-socket").stat()
    assert (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode)) == (stat.S_IFSOCK, 0o600)


async def test_a_call_ends_when_no_service_answers_in_time(tmp_path):
    async with opened(tmp_path / "orders.db", takeover=None), opened(tmp_path / "orders.db", MOMENT) as second:
        with pytest.raises(ApiError, match=r"No service that has the file answered within 0\.2 s") as failed:
            await second.start(asks, "approval")
        assert failed.value.status == 503


async def test_without_takeover_it_is_refused_at_once(tmp_path):
    async with DurableService(tmp_path / "orders.db"):
        with pytest.raises(StoreInUseError, match=r"is in use by process \d+ \(this one\), and only one"):
            await DurableService(tmp_path / "orders.db").__aenter__()


async def test_what_is_no_store_is_refused_with_takeover_too(tmp_path):
    (tmp_path / "orders.db").write_text("no SQLite file, but long enough to be taken for one by its size" * 2)
    with pytest.raises(StoreError):
        await opened(tmp_path / "orders.db").__aenter__()


async def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path, caplog):
    failures = [StoreInUseError("the first one has it"), StoreError("the disk is away"), StoreError("the disk is away")]
    api = LambdaApi(store=SqliteStore(tmp_path / "orders.db"))

    async def open_api():
        if failures:
            raise failures.pop(0)
        await api.__aenter__()

    takeover = Takeover(api, tmp_path / "orders.db", open_api, patience=1, retry_store=0.01)
    await takeover.start()
    assert api.owner is not None
    while api.owner is not None:
        await asyncio.sleep(0.01)
    assert await api.list_functions() == []
    assert caplog.text.count("Cannot take over: the disk is away") == 1
    await takeover.stand_down()
    await api.aclose()
    await takeover.aclose()


@pytest.mark.parametrize(
    ("path", "message"),
    [(None, "needs the path of a file"), ("/tmp/" + "deep/" * 20 + "orders.db", "too long for a socket")],
)
def test_a_takeover_that_cannot_be_is_refused_where_it_is_asked_for(path, message):
    with pytest.raises(ValueError, match=message):
        DurableService(path, takeover=LONG)


# --- an answer that is lost ---


@asynccontextmanager
async def dying(path: Path):
    """What reads a request and dies, each time. Yields the requests."""
    requests: list[bytes] = []

    async def read(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_unix_server(read, path):
        yield requests


INVOKE = "/2015-03-31/functions/asks:%24LATEST/invocations"
NAMED = {"X-Amz-Durable-Execution-Name": "order-7"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "repeated"),
    [
        ("GET", "/2015-03-31/functions", {}, True),
        ("POST", INVOKE, NAMED, True),
        ("POST", INVOKE, {}, False),
        ("POST", "/2025-12-01/durable-execution-callbacks/x/succeed", {}, False),
    ],
)
async def test_a_lost_call_is_repeated_if_that_does_nothing_twice(tmp_path, method, target, headers, repeated):
    path = tmp_path / "socket"
    async with dying(path) as requests:
        with pytest.raises(ServiceClosedError, match="answered within" if repeated else "may have done"):
            await ask_owner(OwnerAddress(str(path), 0.3), method, target, headers, b"{}")
    assert (len(requests) > 1) is repeated


async def test_a_socket_that_nobody_listens_on_is_as_good_as_none(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(ServiceClosedError, match="answered within"):
        await ask_owner(OwnerAddress(str(path), 0.1), "POST", INVOKE, {}, b"{}")


# --- a process that keeps the file and does nothing ---


@asynccontextmanager
async def answering(path: Path, *, small: bool, refuses: bool = False):
    """What never answers a call, and answers other requests if they are `small`, or closes their connections."""

    async def read(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"GET / ") and small:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif not (request.startswith(b"GET / ") and refuses):
            await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(read, path):
        yield OwnerAddress(str(path), 0.0)


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_call_to_a_stopped_process_ends_with_a_sentence(tmp_path, refuses):
    async with answering(tmp_path / "socket", small=False, refuses=refuses) as owner:
        with pytest.raises(ServiceClosedError, match="answers nothing for 1 s: it is stopped, or something blocks"):
            await ask_owner(owner, "GET", "/2015-03-31/functions", {}, b"")


async def test_a_call_for_which_a_stopped_process_has_no_room_was_not_sent(tmp_path):
    """So it can be repeated, and waits for the next service. No more connections queue up than fit."""
    path, unhandled = tmp_path / "socket", []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context["message"]))
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(path))
        stopped.listen(2)
        calls = [ask_owner(OwnerAddress(str(path), 0.2), "POST", INVOKE, {}, b"{}") for _ in range(20)]
        refused = [str(error) for error in await asyncio.gather(*calls, return_exceptions=True)]
    gc.collect()  # asyncio tells of errors of tasks that nobody asked for when it forgets them
    await asyncio.sleep(0)
    assert sum("may have done" in sentence for sentence in refused) <= 3
    assert sum("No service that has the file answered" in sentence for sentence in refused) >= 17
    assert unhandled == []


async def test_a_call_waits_for_its_answer_as_long_as_other_requests_are_answered(tmp_path):
    async with answering(tmp_path / "socket", small=True) as owner:
        waiting = asyncio.create_task(ask_owner(owner, "GET", "/2015-03-31/functions", {}, b""))
        done, _ = await asyncio.wait([waiting], timeout=2.5)
        assert not done
        waiting.cancel()
        await asyncio.wait([waiting])
