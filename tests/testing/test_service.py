"""The test service: virtual time, driving, replacing, and what it says when it cannot go on."""

import asyncio
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from durable_async import (
    CallbackConfig,
    CallbackFailedError,
    CallbackTimeoutError,
    DurableContext,
    ExecutionCancelledError,
    ExecutionFailedError,
    RetryStrategy,
    StepConfig,
    StepError,
    WaitForCallbackConfig,
    current_step,
    durable_execution,
)
from durable_async.service import LambdaApi, SqliteStore
from durable_async.testing import StuckError, TestService, VirtualTime, run

pytestmark = pytest.mark.anyio

HOURLY = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(hours=1), max_attempts=20))


@attrs.frozen
class Decision:
    approved: bool


async def charge(cents: int) -> str:
    return f"paid {cents}"


@durable_execution
async def fulfil(cents: int, ctx: DurableContext) -> str:
    paid = await ctx.step(charge, cents, config=HOURLY)
    approval = await ctx.create_callback(
        name="approval", config=CallbackConfig(timeout=timedelta(days=3)), returns=Decision
    )
    decision = await approval.result()
    await ctx.wait(timedelta(days=200), name="delivery")
    return f"{paid}, {decision.approved}"


async def test_a_workflow_of_months_is_driven_from_the_test():
    async with TestService(fulfil) as service:
        service.replace("charge", outcomes=[ConnectionError("busy"), ConnectionError("busy"), "paid"])
        execution = await service.start(42)
        await execution.until_callback("approval").succeed(Decision(approved=True))
        assert await execution.finish() == "paid, True"
        step = execution.step("charge")
        assert (step.attempts, step.result, step.took) == (3, "paid", timedelta(hours=2))
        assert [error["ErrorMessage"] for error in step.attempt_errors] == ["busy", "busy"]
        assert service.now() == datetime(2026, 1, 1, 2, tzinfo=UTC) + timedelta(days=200)
        assert execution.operation("delivery").status == "SUCCEEDED"


async def test_each_suspension_is_followed_by_a_replay_unless_that_is_switched_off():
    starts = []

    @durable_execution
    async def waiting(event: dict, ctx: DurableContext) -> None:
        starts.append(1)
        await ctx.wait(timedelta(days=1))
        await ctx.wait(timedelta(days=1))

    async with TestService(waiting) as service:
        await (await service.start({})).finish()
    assert len(starts) == 3
    async with TestService(waiting, replay_each_invocation=False) as service:
        await (await service.start({})).finish()
    assert len(starts) == 4


async def test_time_does_not_pass_over_a_callback_that_the_test_has_not_answered():
    async with TestService(fulfil) as service:
        execution = await service.start(42)
        with pytest.raises(
            StuckError, match=r"has not answered callback 'approval' \(times out at 2026-01-04 00:00:00"
        ):
            await execution.finish()
        with pytest.raises(StuckError, match="the end of step 'none' does not come"):
            await execution.until_step("none")
        assert service.now() < datetime(2026, 1, 1, 1, tzinfo=UTC)
        failed = await execution.failure(over_callbacks=True)
        assert failed.error_type == "Callback.Timeout"
        assert service.now() >= datetime(2026, 1, 4, tzinfo=UTC)


async def test_a_callback_fails_times_out_or_is_kept_alive_by_heartbeats():
    @durable_execution
    async def asking(event: dict, ctx: DurableContext) -> list[str]:
        seen = []
        for n in range(3):
            try:
                seen.append(
                    await ctx.wait_for_callback(
                        lambda _: None,
                        name=f"ask {n}",
                        config=WaitForCallbackConfig(heartbeat_timeout=timedelta(hours=2), timeout=timedelta(days=1)),
                    )
                )
            except (CallbackFailedError, CallbackTimeoutError) as error:
                seen.append(error.message)
        return seen

    async with TestService(asking) as service:
        execution = await service.start({})
        await execution.until_callback("ask 0").fail(ValueError("no"))
        callback = await execution.until_callback("ask 1")
        await service.advance(timedelta(hours=1.5))
        await callback.heartbeat()
        await service.advance(timedelta(hours=1.5))
        await callback.succeed("yes")
        await execution.until_callback("ask 2").time_out()
        assert await execution.finish() == ["no", '"yes"', "Callback timed out on heartbeat"]
        assert service.now() - service.executions[0].operations[0].started == timedelta(hours=5) - timedelta(
            microseconds=1
        )


async def test_a_step_that_hangs_is_timed_out_without_waiting_for_it():
    @durable_execution
    async def hanging(event: dict, ctx: DurableContext) -> str:
        try:
            await ctx.step(
                lambda: asyncio.sleep(3600),
                name="hangs",
                config=StepConfig(timeout=timedelta(seconds=30), retry_strategy=RetryStrategy.none()),
            )
        except StepError as error:
            return error.error_type
        return "no"

    async with TestService(hanging) as service:
        assert (await (await service.start({})).finish()).endswith("StepTimeoutError")
        assert service.now() == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


async def test_time_waits_for_a_thread():
    def slow() -> str:
        threading.Event().wait(0.05)
        return "slow"

    @durable_execution
    async def threaded(event: dict, ctx: DurableContext) -> str:
        async def in_executor() -> str:
            return await asyncio.to_thread(slow)

        config = StepConfig(timeout=timedelta(seconds=30), retry_strategy=RetryStrategy.none())
        await ctx.step(slow, name="thread", config=config)
        return await ctx.step(in_executor, name="executor", config=config)

    async with TestService(threaded) as service:
        assert await (await service.start({})).finish() == "slow"
        assert service.now() == datetime(2026, 1, 1, tzinfo=UTC)


async def test_time_waits_for_a_connection():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    ready = threading.Event()

    def serve() -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(server.getsockname()[1])
            ready.set()
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                time.sleep(0.05)
                connection.sendall(b"pong")

    ports = []
    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()

    async def ask() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        writer.write(b"p")
        try:
            return (await reader.read(4)).decode()
        finally:
            writer.close()
            await writer.wait_closed()

    @durable_execution
    async def asking(event: dict, ctx: DurableContext) -> str:
        return await ctx.step(ask, config=StepConfig(timeout=timedelta(seconds=1)))

    async with TestService(asking, patience=timedelta(seconds=20)) as service:
        assert await (await service.start({})).finish() == "pong"
        assert service.now() == datetime(2026, 1, 1, tzinfo=UTC)
    thread.join()


async def test_a_test_may_sleep_beside_a_workflow_in_the_same_time():
    @durable_execution
    async def waiting(event: dict, ctx: DurableContext) -> None:
        await ctx.wait(timedelta(hours=1))
        await ctx.wait(timedelta(hours=1))

    async with TestService(waiting) as service:
        execution = await service.start({})
        await asyncio.sleep(5400)
        await execution.settle()
        assert [each.status for each in execution.operations] == ["SUCCEEDED", "STARTED"]
        assert service.now() == datetime(2026, 1, 1, 1, 30, tzinfo=UTC)


async def test_advance_runs_everything_that_is_due_until_then():
    async with TestService(fulfil) as service:
        service.replace("charge", raises=ConnectionError("down"))
        execution = await service.start(1)
        await service.advance(timedelta(hours=2.5))
        assert execution.step("charge").attempts == 3
        await service.advance_to(datetime(2026, 1, 2, tzinfo=UTC))
        assert execution.step("charge").attempts == 20
        assert isinstance(await execution.failure(), ExecutionFailedError)
        with pytest.raises(ValueError, match="time moves ahead"):
            await service.advance_to(datetime(2025, 1, 1, tzinfo=UTC))


async def test_until_asks_for_the_history_and_until_step_for_an_end():
    async with TestService(fulfil) as service:
        execution = await service.start(1)
        assert (await execution.until_step("charge")).result == "paid 1"
        await execution.until(lambda events: any(event.type == "CallbackStarted" for event in events))
        await execution.until_callback().succeed(Decision(approved=False))
        await execution.finish()
        with pytest.raises(
            StuckError, match=r"ended as SUCCEEDED before callback 'other' came. Its operations: 'charge'"
        ):
            await execution.until_callback("other")
        with pytest.raises(LookupError, match=r"no step 'nothing'. Its operations: 'charge', 'approval', 'delivery'"):
            execution.step("nothing")


async def test_a_step_a_child_and_an_invoked_function_are_replaced_by_name():
    async def never(*_: object) -> Any:
        raise AssertionError

    @durable_execution
    async def parent(event: dict, ctx: DurableContext) -> list[object]:
        return [
            await ctx.step(never, 1, 2, name="added"),
            await ctx.run_in_child_context(never, name="child"),
            await ctx.invoke("billing", {"cents": 5}),
        ]

    async with TestService(parent) as service:
        service.replace("added", calls=lambda a, b: a + b)
        child = service.replace("child", returns=["c"])
        service.replace_function("billing", calls=lambda event: event["cents"] * 2)
        execution = await service.start({})
        assert await execution.finish() == [3, ["c"], 10]
        assert child.times == 1
        assert execution.operations[-1].input == {"cents": 5}
        with pytest.raises(TypeError, match="say with one of these what happens instead"):
            service.replace("added")


async def test_an_invoked_workflow_shares_the_time_and_is_seen():
    @durable_execution
    async def inner(event: dict, ctx: DurableContext) -> str:
        await ctx.wait(timedelta(days=30))
        return await ctx.wait_for_callback(lambda _: None, name="deep")

    @durable_execution
    async def outer(event: dict, ctx: DurableContext) -> str:
        return await ctx.invoke("inner:$LATEST", {})

    async with TestService(outer, inner) as service:
        execution = await service.start({})
        with pytest.raises(StuckError, match="has not answered callback 'deep/deep create callback id'"):
            await execution.finish()
        _, invoked = service.executions
        await invoked.until_callback("deep").succeed(b"found")
        assert await execution.finish() == "found"


async def test_operations_are_found_by_name_path_and_id():
    @durable_execution
    async def nested(event: dict, ctx: DurableContext) -> None:
        async def work(ctx: DurableContext) -> None:
            await ctx.step(lambda: 1, name="same")

        await ctx.run_in_child_context(work, name="a")
        await ctx.run_in_child_context(work, name="b")

    async with TestService(nested) as service:
        execution = await service.start({})
        await execution.finish()
        with pytest.raises(LookupError, match=r"there are 2 operations 'same': 'a/same' .* 'b/same'"):
            execution.step("same")
        found = execution.step("b/same")
        assert execution.operation(found.id) is found


async def test_the_history_is_the_same_text_in_each_run():
    texts = []
    for _ in range(2):
        async with TestService(fulfil) as service:
            service.replace("charge", outcomes=[ConnectionError("busy"), "paid"])
            execution = await service.start(42)
            await execution.until_callback("approval").succeed(Decision(approved=True))
            await execution.finish()
            texts.append((execution.arn, execution.history))
    assert texts[0] == texts[1]
    assert texts[0][1].splitlines()[:4] == [
        "    00:00:00  ExecutionStarted input=42",
        "    00:00:00  StepStarted charge",
        "    00:00:00  StepFailed charge error=ConnectionError: busy again in 3600 s",
        "    00:00:00  InvocationCompleted",
    ]


async def test_jitter_is_the_same_with_the_same_seed_and_the_generator_is_put_back():
    import random

    @durable_execution
    async def jittery(event: dict, ctx: DurableContext) -> None:
        def fail() -> None:
            if current_step().attempt < 3:
                raise ConnectionError

        strategy = RetryStrategy.exponential(initial_delay=timedelta(minutes=2))
        await ctx.step(fail, config=StepConfig(retry_strategy=strategy))

    async def took(seed: int) -> timedelta:
        async with TestService(jittery, seed=seed) as service:
            await (await service.start({})).finish()
            return service.now() - datetime(2026, 1, 1, tzinfo=UTC)

    random.seed(7)
    before = random.getstate()
    first, again, other = await took(1), await took(1), await took(2)
    assert first == again != other
    assert random.getstate() == before


async def test_a_paused_execution_is_not_waited_for():
    @durable_execution
    async def waiting(event: dict, ctx: DurableContext) -> None:
        await ctx.wait(timedelta(days=1), name="a day")

    async with TestService(waiting) as service:
        execution = await service.start({})
        await execution.settle()
        await execution.handle.pause("looked at")
        with pytest.raises(StuckError, match=r"the execution is paused \(looked at\): call execution.handle.resume"):
            await execution.finish()


async def test_two_executions_are_finished_together():
    async with TestService(fulfil) as service:
        executions = [await service.start(n) for n in range(3)]
        for execution in executions:
            await execution.until_callback().succeed(Decision(approved=True))
        results = await asyncio.gather(*(execution.finish() for execution in executions))
        assert results == ["paid 0, True", "paid 1, True", "paid 2, True"]


def test_a_test_that_is_not_async_runs_an_execution_to_its_end():
    done = run(fulfil, 42, callbacks={"approval": Decision(approved=False)})
    assert done.result == "paid 42, False"
    assert done.took == timedelta(days=200)
    assert done.invocations == 3
    failed = run(fulfil, 42, callbacks={"approval": ValueError("rejected")})
    assert failed.error.message == "rejected"
    with pytest.raises(ExecutionFailedError):
        _ = failed.result
    late = run(fulfil, 42)
    assert late.took == timedelta(days=3)


def test_a_misspelt_name_of_a_callback_fails_the_test_if_a_callback_was_left_without_an_answer():
    with pytest.raises(AssertionError, match=r"an answer for 'aproval',.* these timed out: 'approval'"):
        run(fulfil, 42, callbacks={"aproval": Decision(approved=True)})
    both = {"approval": Decision(approved=True), "of another branch": None}
    assert run(fulfil, 42, callbacks=both).result == "paid 42, True"


async def test_a_year_passes_a_loop_at_once():
    with VirtualTime() as clock:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(366 * 86_400)
        assert asyncio.get_running_loop().time() - began == pytest.approx(366 * 86_400)
        assert clock.now() == datetime(2027, 1, 2, tzinfo=UTC)


async def test_virtual_time_is_refused_twice_and_on_a_loop_with_a_clock_of_its_own():
    with VirtualTime(), pytest.raises(RuntimeError, match="is virtual already"), VirtualTime():
        pass


def test_virtual_time_is_refused_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="needs asyncio's own event loop, and uvloop"):
            async with TestService(fulfil):
                pass

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_real_time_is_back_after_the_service():
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with TestService(fulfil) as service:
        await service.advance(timedelta(days=10))
    assert loop.time() - before < 60
    assert "time" not in vars(loop)


async def test_time_goes_on_beside_code_that_tries_again_in_each_turn():
    with VirtualTime() as clock:
        began = clock()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(3, done.set_result, None)

        def again() -> None:
            if not done.done():
                loop.call_soon(again)

        again()
        await done
        assert clock() == began + 3


async def test_time_stays_while_a_write_waits_for_the_disk(tmp_path):
    with VirtualTime(patience=timedelta(seconds=60)) as clock:
        store = SqliteStore(tmp_path / "orders.db")
        async with LambdaApi(store=store, clock=clock) as api:
            clock.attach(api)
            began = clock()
            asyncio.get_running_loop().call_later(3600, lambda: None)
            disk_is_free = threading.Event()
            write = store._writer.put(lambda _: disk_is_free.wait())
            threading.Timer(0.1, disk_is_free.set).start()
            await write
            assert clock() == began


def test_a_loop_whose_tasks_wait_for_each_other_ends_with_an_error():
    async def never() -> None:
        with VirtualTime():
            await asyncio.Event().wait()

    with pytest.raises(StuckError, match="nothing runs and nothing is due"):
        asyncio.run(never())


async def test_a_thread_that_was_started_before_does_not_hold_time_up():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    began = time.monotonic()
    with VirtualTime(patience=timedelta(seconds=60)):
        await asyncio.sleep(3600)
    done.set()
    thread.join()
    assert time.monotonic() - began < 60


async def test_a_year_twenty_retries_and_three_days_are_one_test():
    @durable_execution
    async def slow(event: dict, ctx: DurableContext) -> None:
        hourly = RetryStrategy.fixed(delay=timedelta(hours=1), max_attempts=21)
        await ctx.step(charge, 1, config=StepConfig(retry_strategy=hourly))
        asked = await ctx.create_callback(name="approval", config=CallbackConfig(timeout=timedelta(days=3)))
        with pytest.raises(CallbackTimeoutError):
            await asked.result()
        await ctx.wait(timedelta(days=362))

    async with TestService(slow) as service:
        service.replace("charge", outcomes=[ConnectionError()] * 20 + ["paid"])
        execution = await service.start({})
        await execution.until_callback("approval").time_out()
        await execution.finish()
        assert execution.step("charge").attempts == 21
        assert service.now() - datetime(2026, 1, 1, tzinfo=UTC) > timedelta(days=365)


@pytest.mark.parametrize("together", [True, False])
async def test_a_cancellation_that_comes_with_the_answer_to_a_waits_start_ends_the_wait(together):
    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> str:
        waiting = ctx.wait(timedelta(days=300))
        try:
            await (asyncio.gather(waiting) if together else waiting)
        except ExecutionCancelledError as cancelled:
            return str(cancelled)
        return "the wait ended"

    async with TestService(workflow) as service:
        execution = await service.start({})
        await execution.handle.cancel("the customer called")
        assert await execution.finish() == "the customer called"
        assert service.now() - datetime(2026, 1, 1, tzinfo=UTC) < timedelta(minutes=1)


async def test_a_cancellation_that_a_block_with_a_deadline_gets_holds_nothing_up():
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def body() -> None:
        begun.set()
        await cancelled.wait()

    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> str:
        async def in_time() -> None:
            async with ctx.timeout(timedelta(hours=1)):
                await ctx.wait(timedelta(minutes=1))

        await ctx.step(body)
        try:
            await asyncio.gather(in_time())
        except ExecutionCancelledError:
            return await ctx.step(lambda: "undone", name="undo")
        return "the block ended"

    async with TestService(workflow) as service:
        execution = await service.start({})
        finishing = asyncio.ensure_future(execution.finish())
        await begun.wait()
        await execution.handle.cancel("the customer called")
        cancelled.set()
        assert await finishing == "undone"


async def test_a_service_that_cannot_be_entered_gives_the_loop_its_time_and_random_its_state_back():
    loop = asyncio.get_running_loop()
    clock, state = loop.time, random.getstate()
    with pytest.raises(ValueError, match="already registered"):
        async with TestService(fulfil, fulfil):
            pass
    assert loop.time == clock
    assert random.getstate() == state
    async with TestService(patient) as service:
        assert await (await service.start({})).finish() is None


@durable_execution
async def patient(event: dict[str, str], ctx: DurableContext) -> None:
    await ctx.wait(timedelta(days=1))
