"""Sync steps run in threads of the service's own: nobody else in the program waits for them, nor does a small workflow
for large ones."""

import asyncio
import threading
from collections import Counter

import fastapi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import DurableContext, durable_execution
from durable_async._threads import Threads, threads_of
from durable_async.embedded import DurableService

pytestmark = pytest.mark.anyio


class Gate:
    """Where bodies of steps stand until it is opened."""

    def __init__(self):
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.standing = 0

    def stand(self):
        self.standing += 1
        self.entered.release()
        assert self.opened.wait(60)

    async def wait_for(self, count):
        """Return when ``count`` more have entered."""
        for _ in range(count):
            assert await asyncio.to_thread(self.entered.acquire, timeout=60)


def heavy_workflow(gate, steps=40):
    @durable_execution
    async def heavy(event: int, ctx: DurableContext) -> int:
        await asyncio.gather(*(ctx.step(gate.stand) for _ in range(steps)))
        return event

    return heavy


async def asked(app, path):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"]


async def test_a_def_endpoint_of_fastapi_answers_while_steps_block_every_thread_they_can_get():
    app = fastapi.FastAPI()

    @app.get("/")
    def endpoint():
        return "here"

    gate = Gate()
    heavy = heavy_workflow(gate)
    async with DurableService() as service:
        service.register(heavy)
        try:
            started = [await service.start(heavy, number) for number in range(2)]
            await gate.wait_for(40)  # as many as anyio's own threads, which FastAPI uses
            assert await asked(app, "/") == 200
        finally:
            gate.opened.set()
        assert [await execution.result() for execution in started] == [0, 1]


async def test_a_small_workflow_does_not_wait_for_heavy_ones():
    gate = Gate()
    heavy = heavy_workflow(gate, steps=20)

    @durable_execution
    async def small(event: int, ctx: DurableContext) -> str:
        return await ctx.step(lambda: "done")

    async with DurableService(threads=8) as service:
        service.register(heavy)
        service.register(small)
        try:
            started = [await service.start(heavy, number) for number in range(2)]
            await gate.wait_for(5)
            assert [await (await service.start(small, number)).result() for number in range(3)] == ["done"] * 3
            assert gate.standing < 8
        finally:
            gate.opened.set()
        assert [await execution.result() for execution in started] == [0, 1]


async def test_a_plain_function_runs_in_the_services_threads_too():
    gate = Gate()

    def plain(event, context):
        gate.stand()
        return event

    @durable_execution
    async def caller(event: int, ctx: DurableContext) -> int:
        return await ctx.invoke("plain", event, returns=int)

    app = fastapi.FastAPI()
    app.get("/")(lambda: "here")
    async with DurableService() as service:
        service.register(plain)
        service.register(caller)
        try:
            started = [await service.start(caller, number) for number in range(40)]
            await gate.wait_for(32)
            assert await asked(app, "/") == 200
        finally:
            gate.opened.set()
        assert [await execution.result() for execution in started] == [*range(40)]


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_the_number_of_threads_is_checked(threads, error):
    with pytest.raises(error, match="threads must be"):
        DurableService(threads=threads)


async def test_what_belongs_to_no_service_shares_the_threads_of_its_loop():
    loop = asyncio.get_running_loop()
    assert threads_of(loop) is threads_of(loop)
    assert await threads_of(loop).run("owner", threading.current_thread) is not threading.current_thread()


@given(
    limit=st.integers(1, 6),
    requests=st.lists(st.sampled_from("abc"), max_size=20),
    actions=st.lists(st.tuples(st.sampled_from(["end", "cancel"]), st.integers(0, 20)), max_size=40),
)
def test_threads_are_never_exceeded_and_the_next_owner_finds_one(limit, requests, actions):
    """The bookkeeping alone: whatever ends or is cancelled, in whatever order."""

    async def program():
        threads = Threads(limit)
        running: list[asyncio.Task] = []
        holding = Counter()
        ends: dict[asyncio.Task, asyncio.Event] = {}

        async def hold(owner, end):
            await threads._acquire(owner)
            holding[owner] += 1
            try:
                await end.wait()
            finally:
                holding[owner] -= 1
                threads._release(owner)

        for owner in requests:
            end = asyncio.Event()
            task = asyncio.create_task(hold(owner, end))
            ends[task] = end
            running.append(task)
        for action, which in [*actions, *[("end", 0)] * len(requests)]:
            for _ in range(
                3 * len(requests) + 3
            ):  # those whose end is set already pass the thread on, one after another
                await asyncio.sleep(0)
            assert sum(holding.values()) <= limit
            waiting = {owner for owner in threads._waiting if any(not turn.done() for turn in threads._waiting[owner])}
            free = limit - sum(holding.values())
            assert all(holding[owner] >= free for owner in waiting), "one waits who might have a thread"
            busy = [owner for owner in holding if holding[owner]]
            assert free or len(busy) >= min(limit, 1)
            if running:
                task = running[which % len(running)]
                if action == "end":
                    ends[task].set()
                else:
                    task.cancel()
                await asyncio.sleep(0)
                running = [each for each in running if not each.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        assert threads._free == limit and not threads._held

    asyncio.run(program())


async def test_owners_that_wait_take_turns():
    threads = Threads(1)
    order = []
    gate = asyncio.Event()

    async def hold(owner):
        await threads._acquire(owner)
        order.append(owner)
        await gate.wait()
        await asyncio.sleep(0)
        threads._release(owner)

    tasks = [asyncio.create_task(hold(owner)) for owner in "aaabb"]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert "".join(order) in ("aabab", "ababa", "abaab")
