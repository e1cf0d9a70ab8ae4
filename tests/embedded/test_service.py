"""The service inside a program: handlers in, typed results out."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from aiobotocore.config import AioConfig

from durable_async import (
    DurableContext,
    ExecutionFailedError,
    ExecutionStoppedError,
    ExecutionTimedOutError,
    NonRetryableError,
    SerializationError,
    durable_execution,
)
from durable_async.client import DurableClient
from durable_async.embedded import DurableService
from durable_async.service import ApiError, LambdaApi
from durable_async.service.http import serve
from durable_async.testing import VirtualTime

DAY = timedelta(days=1)
ONE_ATTEMPT = AioConfig(retries={"total_max_attempts": 1})  # where a test ends the service, nothing is repeated


@attrs.frozen
class Order:
    id: int
    placed: datetime


@attrs.frozen
class Receipt:
    order: Order
    carriers: tuple[str, ...]


async def quote(carrier: str) -> str:
    return carrier.upper()


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> Receipt:
    carriers = await asyncio.gather(*(ctx.step(quote, carrier) for carrier in ("a", "b")))
    return Receipt(order, tuple(carriers))


@durable_execution
async def asks(event: str, ctx: DurableContext) -> Any:
    callback = await ctx.create_callback(name=event, returns=Any)
    return await callback.result()


@durable_execution
async def declines(event: str, ctx: DurableContext) -> None:
    raise NonRetryableError(event)


@durable_execution
async def sleeps(event: int, ctx: DurableContext) -> int:
    await ctx.wait(timedelta(seconds=event))
    return event


ORDER = Order(7, datetime(2026, 5, 1, tzinfo=UTC))


async def callback_id(execution):
    async for event in execution.events():
        if event.type == "CallbackStarted":
            return event.details["CallbackId"]
    raise AssertionError("no callback")


@asynccontextmanager
async def called(service, over, path=None):
    """The executions of ``service``, as its own program has them, as another one has them over HTTP, or as one that
    stands by has them."""
    if over == "http":
        async with serve(service.api) as url, DurableClient(url, config=ONE_ATTEMPT) as client:
            yield client
    elif over == "standby":
        async with DurableService(path, takeover=timedelta(minutes=1)) as standby:
            for handler in (fulfil, asks, declines, sleeps):
                standby.register(handler)
            yield standby
    else:
        yield service


OVER = pytest.mark.parametrize("over", ["calls", "http"])


@pytest.fixture(params=["memory", "file", "http", "standby"])
async def both(request, tmp_path):
    """A service, and its executions as they are called."""
    path = tmp_path / "orders.db" if request.param in {"file", "standby"} else None
    takeover = timedelta(minutes=1) if request.param == "standby" else None
    async with DurableService(path, takeover=takeover) as service:
        for handler in (fulfil, asks, declines, sleeps):
            service.register(handler)
        async with called(service, request.param, path) as executions:
            yield service, executions


@pytest.fixture
def service(both):
    return both[0]


@pytest.fixture
def executions(both):
    return both[1]


@pytest.fixture
def register(both):
    def register(handler, name=None):
        for each in {*both}:
            if isinstance(each, DurableService):
                each.register(handler, name=name)

    return register


async def test_a_result_comes_back_as_its_type(executions):
    execution = await executions.start(fulfil, ORDER, name="order-7")
    assert await execution.result() == Receipt(ORDER, ("A", "B"))
    assert await execution.status() == "SUCCEEDED"
    assert execution.name == "order-7"


async def test_a_start_is_idempotent_by_name(executions):
    first = await executions.start(fulfil, ORDER, name="order-7")
    again = await executions.start(fulfil, ORDER, name="order-7")
    assert first.arn == again.arn
    with pytest.raises(ApiError) as refused:
        await executions.start(fulfil, attrs.evolve(ORDER, id=8), name="order-7")
    assert refused.value.code == "DurableExecutionAlreadyStartedException"


async def test_what_was_started_is_found_by_its_name(executions):
    started = await executions.start(fulfil, ORDER, name="order-7")
    found = await executions.find(fulfil, "order-7")
    assert found is not None
    assert found.arn == started.arn
    assert await found.result() == Receipt(ORDER, ("A", "B"))
    assert await executions.find(fulfil, "order-8") is None


async def test_a_function_by_its_name_gives_plain_json(executions):
    event = {"id": 7, "placed": "2026-05-01T00:00:00+00:00"}
    execution = await executions.start("fulfil", event)
    assert (await execution.result())["carriers"] == ["A", "B"]
    assert (await executions.execution(execution.arn).result())["carriers"] == ["A", "B"]
    assert await executions.execution(execution.arn, fulfil).result() == Receipt(ORDER, ("A", "B"))


async def test_a_failure_says_what_the_workflow_raised(executions):
    execution = await executions.start(declines, "no money")
    with pytest.raises(ExecutionFailedError) as failed:
        await execution.result()
    assert failed.value.message == "no money"
    assert failed.value.error_type.endswith("NonRetryableError")
    assert failed.value.execution_arn == execution.arn
    assert str(failed.value).startswith(f"declines/{execution.name}: ")


async def test_stopping_ends_it_for_those_who_wait(executions):
    execution = await executions.start(asks, "approval")
    waiting = asyncio.ensure_future(execution.result())
    await callback_id(execution)
    await execution.stop({"ErrorType": "Enough", "ErrorMessage": "nobody wants it"})
    with pytest.raises(ExecutionStoppedError, match="Enough: nobody wants it"):
        await waiting


async def test_a_closed_execution_does_not_stay_in_memory(service, executions, register):
    cleaned = asyncio.Event()

    @durable_execution
    async def holds(event: None, ctx: DurableContext) -> None:
        try:
            await ctx.wait(DAY)
        finally:
            cleaned.set()

    register(holds, name="holds")
    execution = await executions.start(holds, None)
    await service.api.idle()
    assert not cleaned.is_set()
    await execution.stop()
    async with asyncio.timeout(10):
        await cleaned.wait()


async def test_waiting_ends_with_the_timeout_and_the_execution_goes_on(executions):
    execution = await executions.start(asks, "approval")
    identity = await callback_id(execution)
    with pytest.raises(TimeoutError):
        await execution.result(timeout=timedelta(0))
    waiting = asyncio.ensure_future(execution.result())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await executions.heartbeat_callback(identity)
    await executions.succeed_callback(identity, {"by": "Ann"})
    assert await execution.result() == {"by": "Ann"}


async def test_bytes_for_a_callback_are_sent_as_they_are(executions):
    execution = await executions.start(asks, "approval")
    await executions.succeed_callback(await callback_id(execution), b'["raw"]')
    assert await execution.result() == ["raw"]


async def test_a_callback_fails_with_an_exception_or_an_error_object(executions):
    for error in (PermissionError("no"), {"ErrorType": "PermissionError", "ErrorMessage": "no"}):
        execution = await executions.start(asks, "approval")
        await executions.fail_callback(await callback_id(execution), error)
        with pytest.raises(ExecutionFailedError, match="no"):
            await execution.result()


async def test_events_come_as_they_happen_and_end_with_the_execution(executions):
    execution = await executions.start(asks, "approval")
    seen = []
    async for event in execution.events():
        seen.append(event)
        if event.type == "CallbackStarted":
            await executions.succeed_callback(event.details["CallbackId"], 1)
    types = [event.type for event in seen]
    assert types[0] == "ExecutionStarted"
    assert types[-1] == "ExecutionSucceeded"
    assert [event.id for event in seen] == [*range(1, len(seen) + 1)]
    assert seen == await execution.history()
    assert [event async for event in execution.events(after=3)] == seen[3:]
    assert [event async for event in execution.events(after=len(seen))] == []


async def test_two_subscribers_see_the_same(executions):
    execution = await executions.start(asks, "approval")

    async def collect():
        return [event.id async for event in execution.events()]

    subscribers = [asyncio.ensure_future(collect()) for _ in range(2)]
    await executions.succeed_callback(await callback_id(execution), 1)
    first, second = await asyncio.gather(*subscribers)
    assert first == second


async def test_deleting_ends_a_subscription_and_frees_the_name(executions):
    execution = await executions.start(fulfil, ORDER, name="order-7")
    with pytest.raises(ApiError) as refused:
        stuck = await executions.start(asks, "approval")
        await stuck.delete()
    assert refused.value.code == "ResourceConflictException"
    await execution.result()
    await execution.delete()
    with pytest.raises(ApiError) as gone:
        await execution.status()
    assert gone.value.code == "ResourceNotFoundException"
    assert await executions.find(fulfil, "order-7") is None


async def test_a_history_of_more_than_a_page_is_whole(executions, register):
    @durable_execution
    async def long(event: int, ctx: DurableContext) -> int:
        return sum([await ctx.step(lambda n=n: n, name=f"step-{n}") for n in range(event)])

    register(long, name="long")
    execution = await executions.start(long, 600)
    assert await execution.result() == sum(range(600))
    ids = [event.id for event in await execution.history()]
    assert ids == [*range(1, len(ids) + 1)]
    assert len(ids) > 1200
    assert [event.id async for event in execution.events()] == ids


async def test_lists_filter_and_page(executions):
    for n in range(230):
        await executions.start(fulfil, attrs.evolve(ORDER, id=n), name=f"order-{n}")
    waiting = await executions.start(asks, "approval")
    names = [summary.name async for summary in executions.executions(fulfil)]
    assert names == [f"order-{n}" for n in reversed(range(230))]
    assert [summary.name async for summary in executions.executions("fulfil", oldest_first=True)] == names[::-1]
    (summary,) = [summary async for summary in executions.executions(asks, statuses=["RUNNING"])]
    assert (summary.arn, summary.status, summary.ended) == (waiting.arn, "RUNNING", None)
    assert summary.started.tzinfo is UTC
    assert [s async for s in executions.executions(asks, started_after=summary.started + timedelta(hours=1))] == []
    assert len([s async for s in executions.executions(asks, started_before=summary.started + timedelta(hours=1))]) == 1
    with pytest.raises(ApiError, match="not a status"):
        _ = [s async for s in executions.executions(asks, statuses=["ASLEEP"])]


async def test_pausing_and_resuming(executions):
    execution = await executions.start(asks, "approval")
    identity = await callback_id(execution)
    await execution.pause("maintenance")
    while await execution.status() != "PAUSED":
        await asyncio.sleep(0)
    await executions.succeed_callback(identity, 1)
    assert (await execution.describe()).pause.reason == "maintenance"
    await execution.resume()
    assert await execution.result() == 1


async def test_a_plain_function_is_the_target_of_an_invoke(executions, register):
    def double(event: int, context: Any) -> int:
        return 2 * event

    @durable_execution
    async def invokes(event: int, ctx: DurableContext) -> int:
        return await ctx.invoke("double", event) + await ctx.invoke("sleeps:$LATEST", 0 + 1)

    register(double)
    register(invokes)
    assert await (await executions.start(invokes, 21)).result() == 43


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"retention": timedelta(hours=36)}, "whole number of days", id="retention"),
        pytest.param({"execution_timeout": timedelta(days=367)}, "1 second to 366 days", id="too long"),
        pytest.param({"execution_timeout": timedelta(milliseconds=1500)}, "whole seconds", id="not whole"),
        pytest.param({"execution_timeout": timedelta.max}, "1 second to 366 days", id="far too long"),
        pytest.param(
            {"execution_timeout": 60}, "execution_timeout must be a datetime.timedelta, not 60", id="a number"
        ),
        pytest.param({"grace": timedelta(-1)}, "grace must not be negative", id="negative grace"),
        pytest.param({"max_cached_idle": timedelta(-1)}, "max_cached_idle must not be negative", id="negative idle"),
        pytest.param({"max_concurrency": 0}, "max_concurrency must be at least 1, not 0", id="nothing at once"),
        pytest.param({"max_concurrency": "3"}, "max_concurrency must be an int, not '3'", id="a text"),
        pytest.param({"max_cached_executions": -1}, "max_cached_executions must be at least 0", id="cached"),
    ],
)
def test_bad_options_are_refused_where_they_are_given(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DurableService(**options)


def test_a_function_of_which_none_may_run_is_refused():
    with pytest.raises(ValueError, match="max_concurrency must be at least 1, not 0"):
        DurableService().register(asks, max_concurrency=0)


async def test_what_cannot_be_started_says_what_to_do():
    async with DurableService() as service:
        with pytest.raises(LookupError, match=r"call service\.register"):
            await service.start(fulfil, ORDER)
        service.register(fulfil)
        with pytest.raises(SerializationError, match="the execution's input"):
            await service.start(fulfil, object())  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="already"):
            service.register(fulfil)


@OVER
async def test_an_execution_timeout_is_told(over):
    clock = VirtualTime()
    async with DurableService(clock=clock) as service, called(service, over) as executions:
        service.register(asks, execution_timeout=timedelta(seconds=5))
        execution = await executions.start(asks, "approval")
        await callback_id(execution)
        await service.api.idle()
        clock.move_by(6)
        await service.api.fire_due()
        with pytest.raises(ExecutionTimedOutError):
            await execution.result()


# --- over the life of a process ---


@OVER
async def test_what_one_service_left_the_next_goes_on_with(tmp_path, over):
    ran = []

    @durable_execution
    async def two_halves(event: str, ctx: DurableContext) -> list[Any]:
        first = await ctx.step(lambda: ran.append("first") or 1, name="first")
        callback = await ctx.create_callback(name="between", returns=str)
        answer = await callback.result()
        second = await ctx.step(lambda: ran.append("second") or 2, name="second")
        return [first, answer, second]

    async with DurableService(tmp_path / "w.db") as service, called(service, over) as executions:
        service.register(two_halves)
        execution = await executions.start(two_halves, "x", name="one")
        identity = await callback_id(execution)
    async with DurableService(tmp_path / "w.db") as service, called(service, over) as executions:
        await executions.succeed_callback(identity, "between")  # before its function is known
        service.register(two_halves)
        found = await executions.find(two_halves, "one")
        assert await found.result() == [1, "between", 2]
    assert ran == ["first", "second"]


async def test_leaving_lets_a_running_step_finish(tmp_path):
    running, go = asyncio.Event(), asyncio.Event()
    ran = []

    async def slow():
        running.set()
        await go.wait()
        ran.append("slow")
        return "slow"

    @durable_execution
    async def workflow(event: None, ctx: DurableContext) -> list[str]:
        return [await ctx.step(slow), await ctx.step(lambda: ran.append("next") or "next", name="next")]

    async with DurableService(tmp_path / "w.db") as service:
        service.register(workflow)
        await service.start(workflow, None, name="one")
        await running.wait()
        asyncio.get_running_loop().call_later(0.05, go.set)
    assert ran == ["slow"]  # no further step was begun
    async with DurableService(tmp_path / "w.db") as service:
        service.register(workflow)
        found = await service.find(workflow, "one")
        assert await found.result() == ["slow", "next"]
        events = [event.type for event in await found.history()]
    assert ran == ["slow", "next"]
    assert events.count("StepSucceeded") == 2
    assert events.count("StepStarted") == 2


async def test_what_outlasts_the_grace_is_repeated_and_no_crash(tmp_path):
    running = asyncio.Event()
    began = []

    async def endless():
        began.append(1)
        running.set()
        if len(began) == 1:
            await asyncio.Event().wait()
        return "done"

    @durable_execution
    async def workflow(event: None, ctx: DurableContext) -> str:
        return await ctx.step(endless)

    async with DurableService(tmp_path / "w.db", grace=timedelta(0)) as service:
        service.register(workflow)
        await service.start(workflow, None, name="one")
        await running.wait()
    async with DurableService(tmp_path / "w.db") as service:
        service.register(workflow)
        found = await service.find(workflow, "one")
        assert await found.result() == "done"
        completed = [e for e in await found.history() if e.type == "InvocationCompleted"]
    assert all("Error" not in event.details for event in completed)


@OVER
async def test_leaving_ends_those_who_wait_and_those_who_watch(over):
    service = DurableService()
    async with called(service, over) as executions:
        async with service:
            service.register(asks)
            execution = await executions.start(asks, "approval")
            await callback_id(execution)
            watching = asyncio.Event()

            async def watch():
                async for event in execution.events():
                    if event.type == "CallbackStarted":
                        watching.set()

            waiting = [asyncio.ensure_future(execution.result()), asyncio.ensure_future(watch())]
            await watching.wait()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, ApiError)
            assert outcome.status == 503
        with pytest.raises(ApiError):
            await executions.start(asks, "approval")


async def test_concurrency_is_limited_for_a_function_and_in_all():
    most = {"f": 0, "g": 0, "all": 0}
    now = {"f": 0, "g": 0}
    go = asyncio.Event()

    def workflow(name):
        async def busy():
            now[name] += 1
            most[name] = max(most[name], now[name])
            most["all"] = max(most["all"], sum(now.values()))
            await go.wait()
            now[name] -= 1

        @durable_execution
        async def handler(event: None, ctx: DurableContext) -> None:
            await ctx.step(busy)

        return handler

    f, g = workflow("f"), workflow("g")
    async with DurableService(max_concurrency=5) as service:
        service.register(f, name="f", max_concurrency=2)
        service.register(g, name="g")
        executions = [await service.start(each, None) for each in [f] * 20 + [g] * 20]
        go.set()
        await asyncio.gather(*(execution.result() for execution in executions))
    assert (most["f"], most["all"]) == (2, 5)


async def test_ten_thousand_branches_do_not_hold_up_the_others():
    ended = []

    @durable_execution
    async def big(event: int, ctx: DurableContext) -> int:
        batch = await ctx.map(lambda ctx, item: ctx.step(lambda: item), range(event))
        ended.append("big")
        return batch.success_count

    @durable_execution
    async def small(event: int, ctx: DurableContext) -> int:
        for _ in range(3):
            await ctx.step(lambda: event)
        ended.append("small")
        return event

    async with DurableService() as service:
        service.register(big)
        service.register(small)
        many = await service.start(big, 10_000)
        few = await asyncio.gather(*(service.start(small, n) for n in range(20)))
        assert await asyncio.gather(*(execution.result() for execution in few)) == [*range(20)]
        assert ended == ["small"] * 20
        assert await many.result() == 10_000


def test_the_payload_is_what_the_handler_reads():
    assert json.loads(fulfil.encode_event(ORDER)) == {"id": 7, "placed": "2026-05-01T00:00:00+00:00"}


async def test_a_file_that_another_service_has_is_refused_and_one_that_is_damaged_too(tmp_path):
    path = tmp_path / "w.db"
    async with DurableService(path):
        with pytest.raises(ApiError, match=r"rocess \d+"):
            await DurableService(path).__aenter__()
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes(len(data) - 100))
    with pytest.raises(ApiError) as damaged:
        await DurableService(path).__aenter__()
    assert damaged.value.status == 503
    path.write_bytes(data)
    async with DurableService(path):  # whoever was refused has let go of it
        pass


@pytest.mark.parametrize("file", [None, "w.db"])
async def test_what_has_ended_accepts_nothing(tmp_path, file):
    async with DurableService(file and tmp_path / file) as service:
        service.register(asks)
        execution = await service.start(asks, "x")
    for call in (execution.stop, execution.redrive, execution.cancel, execution.result):
        with pytest.raises(ApiError) as refused:
            await call()
        assert refused.value.status == 503


@pytest.mark.parametrize(("file", "takeover"), [(None, None), ("w.db", None), ("w.db", timedelta(seconds=1))])
async def test_a_service_is_entered_once(tmp_path, file, takeover):
    service = DurableService(file and tmp_path / file, takeover=takeover)
    async with service:
        with pytest.raises(RuntimeError, match="runs already"):
            await service.__aenter__()
        service.register(asks)
        execution = await service.start(asks, "x")
        assert await execution.status() == "RUNNING"
    with pytest.raises(RuntimeError, match="Make a new one for each"):
        await service.__aenter__()
    api = LambdaApi()
    async with api:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        await api.__aenter__()


async def test_a_call_from_the_loop_of_another_thread_is_refused_and_does_nothing(tmp_path):
    async with DurableService(tmp_path / "w.db") as service:
        service.register(asks)
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(lambda: asyncio.run(service.start(asks, "x", name="n")))
        assert await service.find(asks, "n") is None
        loop = asyncio.get_running_loop()

        def start():
            return asyncio.run_coroutine_threadsafe(service.start(asks, "x", name="n"), loop).result()

        assert (await asyncio.to_thread(start)).name == "n"


@pytest.mark.parametrize("file", [None, "w.db"])
def test_a_call_on_another_loop_of_the_thread_is_refused_and_a_runner_keeps_the_loop(tmp_path, file):
    async def refused(call):
        with pytest.raises(RuntimeError, match=r"an asyncio\.Runner keeps one"):
            await call()

    async def registered():
        service.register(asks)

    with asyncio.Runner() as runner:
        service = runner.run(DurableService(file and tmp_path / file).__aenter__())
        runner.run(registered())
        asyncio.run(refused(lambda: service.start(asks, "x", name="n")))
        asyncio.run(refused(lambda: service.__aexit__(None, None, None)))
        assert runner.run(service.find(asks, "n")) is None
        assert runner.run(service.start(asks, "x", name="n")).name == "n"
        runner.run(service.__aexit__(None, None, None))


async def test_a_function_cannot_be_registered_where_its_executions_cannot_continue(tmp_path):
    async with DurableService(tmp_path / "w.db") as service:
        service.register(asks)
        execution = await service.start(asks, "x")
        identity = await callback_id(execution)
    async with DurableService(tmp_path / "w.db") as service:
        with pytest.raises(RuntimeError, match="register needs the service's event loop"):
            await asyncio.to_thread(service.register, asks)
        service.register(asks)
        await service.succeed_callback(identity, "yes")
        assert await service.execution(execution.arn, asks).result() == "yes"


async def test_a_cancelled_execution_is_not_logged_as_a_failure(caplog):
    async with DurableService() as service:
        service.register(asks)
        execution = await service.start(asks, "x")
        await callback_id(execution)
        with caplog.at_level("INFO", "durable_async"):
            await execution.cancel()
            with pytest.raises(ExecutionStoppedError):
                await execution.result()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", f"{execution.arn} was cancelled")
    ]
