"""The flusher: order, batches, tokens, and each way in which a call can fail."""

import asyncio
import logging
from contextlib import suppress

import pytest

from durable_async import EngineLimits, ServiceCallError, StepError, durable_execution
from durable_async._wire.limits import CHECKPOINT_BYTES, RESPONSE_BYTES
from durable_async.embedded.local import InProcessClient, in_process_handler
from tests.world import NO_START_BEFORE_ITS_END, World


class Failing:
    """A client that fails on the calls it is told to, after or instead of the real one."""

    def __init__(self, service, errors):
        self.client = InProcessClient(service)
        self.errors = errors
        self.calls = []

    async def checkpoint(self, arn, token, updates, client_token):
        self.calls.append((token, client_token, [update["Action"] for update in updates]))
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return await self.client.checkpoint(arn, token, updates, client_token)

    async def get_state(self, arn, token, marker):
        return await self.client.get_state(arn, token, marker)


class Workflow:
    """Two steps; notes which bodies ran, and whether it saw the end of its first step."""

    def __init__(self, limits=NO_START_BEFORE_ITS_END):
        self.ran = []

        @durable_execution(limits=limits)
        async def workflow(event, ctx):
            try:
                await ctx.step(self.ran.append, 1)
            except Exception:  # what ends an invocation is nothing that a workflow can catch
                self.ran.append("caught")
            self.ran.append("between")
            await ctx.step(self.ran.append, 2)
            return "done"

        self.handler = workflow


async def _run(errors, limits=NO_START_BEFORE_ITS_END):
    """The answer of one invocation whose calls fail with ``errors``, and the client."""
    workflow = Workflow(limits)
    async with World() as world:
        answer = asyncio.get_running_loop().create_future()

        class Once:
            async def run(self, envelope, *, client, lambda_context=None):
                failing = Failing(world.service, list(errors))
                try:
                    output = await workflow.handler.run(envelope, client=failing)
                except Exception as error:
                    output = error
                answer.set_result((output, failing))
                await asyncio.sleep(3600)

        world.service.register("once", in_process_handler(Once(), world.service))
        await world.service.invoke("once", b"{}", qualifier="$LATEST")
        return *(await answer), workflow.ran


def refused(message="no", code="InvalidParameterValueException", status=400):
    return ServiceCallError("checkpoint", message, code, status)


async def test_what_may_succeed_next_time_is_raised_for_lambda_to_retry():
    broken = refused("oops", "ServiceException", 500)
    output, client, ran = await _run([broken])
    assert output is broken
    assert ran == [1] and len(client.calls) == 1


async def test_what_cannot_succeed_fails_the_execution():
    output, client, ran = await _run([refused("Invalid parent operation id.")])
    assert output["Status"] == "FAILED"
    assert output["Error"]["ErrorType"] == "durable_async.errors.ServiceCallError"
    assert "Invalid parent operation id." in output["Error"]["ErrorMessage"]
    assert ran == [1] and len(client.calls) == 1


async def test_a_stale_token_ends_the_invocation_quietly(caplog):
    output, client, ran = await _run([refused("Invalid checkpoint token")])
    assert output == {"Status": "PENDING"}
    assert ran == [1] and len(client.calls) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_busy_service_is_asked_again_with_the_same_client_token():
    busy = refused("Rate exceeded", "TooManyRequestsException", 429)
    output, client, ran = await _run([busy, busy], EngineLimits(busy_delay=0.001))
    assert output == {"Status": "SUCCEEDED", "Result": '"done"'}
    assert client.calls[0] == client.calls[1] == client.calls[2]
    assert len({client_token for _, client_token, _ in client.calls}) == 2
    assert ran == [1, "between", 2]


async def test_a_service_that_stays_busy_is_given_up_on():
    limits = EngineLimits(busy_attempts=5, busy_delay=0.0001, busy_delay_max=0.0001)
    busy = refused("Rate exceeded", "TooManyRequestsException", 429)
    output, client, _ = await _run([busy] * 100, limits)
    assert output is busy
    assert len(client.calls) == 5 + 1


async def test_a_service_that_gives_no_further_token_gets_no_further_word():
    workflow = Workflow()

    class Withdrawing(Failing):
        async def checkpoint(self, *args):
            result = await super().checkpoint(*args)
            return {"NewExecutionState": result["NewExecutionState"]}

    async with World() as world:
        client = Withdrawing(world.service, [])

        class Once:
            async def run(self, envelope, *, client: object, lambda_context=None):
                return await workflow.handler.run(envelope, client=withdrawing)

        withdrawing = client
        output = await _answer_of(world, Once())
    assert output == {"Status": "PENDING"}
    assert workflow.ran == [1] and len(client.calls) == 1


async def test_a_result_is_no_answer_when_the_token_was_withdrawn_meanwhile():
    sent, withdrawn = asyncio.Event(), asyncio.Event()

    class Withdrawing(Failing):
        async def checkpoint(self, *args):
            result = await super().checkpoint(*args)
            sent.set()
            await asyncio.sleep(0.01)  # the workflow returns meanwhile
            asyncio.get_running_loop().call_later(0.01, withdrawn.set)
            return {"NewExecutionState": result["NewExecutionState"]}

    @durable_execution(limits=EngineLimits(show_start=0.0))
    async def workflow(event, ctx):
        async def left_behind():
            try:
                await asyncio.sleep(3600)
            finally:
                await withdrawn.wait()

        workflow.task = asyncio.create_task(ctx.step(left_behind))
        await sent.wait()
        return "done"

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.run(envelope, client=Withdrawing(world.service, []))

    async with World() as world:
        output = await _answer_of(world, Handler())
    assert output == {"Status": "PENDING"}


async def _answer_of(world, handler):
    answer = asyncio.get_running_loop().create_future()

    class Noting:
        async def run(self, envelope, *, client, lambda_context=None):
            answer.set_result(await handler.run(envelope, client=client))
            await asyncio.sleep(3600)

    world.service.register("noting", in_process_handler(Noting(), world.service))
    await world.service.invoke("noting", b"{}", qualifier="$LATEST")
    return await answer


@pytest.mark.parametrize("result", ["done", "x" * RESPONSE_BYTES], ids=["a step", "the last word"])
async def test_a_flusher_that_somebody_else_cancels_is_no_end_without_an_answer(result):
    """A client may pass on a cancellation that was not meant for the task that calls it."""

    @durable_execution
    async def workflow(event, ctx):
        if result == "done":
            await ctx.step(lambda: 1)
        return result

    class Cancelled(Failing):
        async def checkpoint(self, *args):
            cancelled.append(True)
            if len(cancelled) == 1:
                raise asyncio.CancelledError
            return await super().checkpoint(*args)

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.run(envelope, client=Cancelled(world.service, []))

    cancelled = []
    async with World() as world:
        world.service.register("workflow", in_process_handler(Handler(), world.service))
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", f'"{result}"')


async def test_a_client_that_answers_in_spite_of_its_cancellation_does_not_hold_up_the_end():
    """As ``asyncio.wait_for`` did up to Python 3.11, if the answer came at that moment."""
    called = asyncio.Event()

    @durable_execution(limits=EngineLimits(show_start=0.0))
    async def workflow(event, ctx):
        workflow.left = asyncio.create_task(ctx.step(asyncio.sleep, 3600))
        await called.wait()
        return "done"

    class Answering(Failing):
        async def checkpoint(self, *args):
            called.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            return await super().checkpoint(*args)

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.run(envelope, client=Answering(world.service, []))

    async with World() as world:
        output = await _answer_of(world, Handler())
    assert output == {"Status": "SUCCEEDED", "Result": '"done"'}


async def test_code_that_cancels_the_flushers_task_ends_no_invocation_without_an_answer():
    invocations = []

    @durable_execution
    async def workflow(event, ctx):
        invocations.append(True)
        if len(invocations) == 1:
            (flushing,) = (task for task in asyncio.all_tasks() if "Flusher.run" in repr(task))
            flushing.cancel()
        return await ctx.step(lambda: "done")

    async with World() as world:
        closed = await world.run(workflow)
    assert (closed.status, closed.result, len(invocations)) == ("SUCCEEDED", '"done"', 2)


@pytest.mark.parametrize("operation", ["step", "callback"])
async def test_an_answer_without_what_was_recorded_is_no_error_that_a_workflow_can_catch(operation):
    @durable_execution
    async def workflow(event, ctx):
        try:
            if operation == "step":
                return await ctx.step(lambda: "done")
            callback = await ctx.create_callback()
        except Exception:
            return "caught"
        return f"{bool(callback.callback_id)}"

    class Silent(Failing):
        async def checkpoint(self, *args):
            result = await super().checkpoint(*args)
            answers.append(result)
            if len(answers) > 1:
                return result
            operations = result["NewExecutionState"]["Operations"]
            shown = [{**each, "CallbackDetails": {}} for each in operations if operation == "callback"]
            return {**result, "NewExecutionState": {"Operations": shown}}

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.run(envelope, client=Silent(world.service, []))

    answers = []
    async with World() as world:
        world.service.register("workflow", in_process_handler(Handler(), world.service))
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", '"done"' if operation == "step" else '"True"')


async def test_tokens_chain_and_client_tokens_differ():
    output, client, _ = await _run([])
    assert output["Status"] == "SUCCEEDED"
    tokens = [token for token, _, _ in client.calls]
    assert len(set(tokens)) == len(tokens) == 2
    assert len({client_token for _, client_token, _ in client.calls}) == 2


async def test_what_is_ready_together_leaves_together():
    @durable_execution
    async def workflow(event, ctx):
        async def body(n):
            return n

        return await asyncio.gather(*(ctx.step(body, n, name=str(n)) for n in range(100)))

    async with World() as world:
        await world.run(workflow)
    assert [len(call) for call in world.calls] == [200]
    starts = [update for update in world.calls[0] if update.startswith("START")]
    assert starts == [f"START {n}" for n in range(100)]


async def test_a_batch_has_at_most_250_updates():
    @durable_execution
    async def workflow(event, ctx):
        async def body(n):
            return n

        await asyncio.gather(*(ctx.step(body, n) for n in range(300)))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert [len(call) for call in world.calls] == [250, 250, 100]


async def test_a_start_is_shown_when_it_is_due_itself():
    """Not when the timer rings that an earlier one has set."""

    @durable_execution(limits=EngineLimits(show_start=0.5))
    async def workflow(event, ctx):
        for n in range(4):
            await ctx.step(asyncio.sleep, 0.2, name=str(n))

    async with World() as world:
        await world.run(workflow)
    assert world.calls == [[f"START {n}", f"SUCCEED {n}"] for n in range(4)]


async def test_an_answer_that_comes_in_pages_is_read_to_its_end():
    workflow = Workflow()

    class Paging(Failing):
        async def checkpoint(self, *args):
            result = await super().checkpoint(*args)
            self.rest = result["NewExecutionState"]["Operations"]
            return {**result, "NewExecutionState": {"Operations": [], "NextMarker": "more"}}

        async def get_state(self, arn, token, marker):
            assert marker == "more"
            first, *rest = self.rest
            self.rest = rest
            return {"Operations": [first], "NextMarker": "more" if rest else None}

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.handler.run(envelope, client=Paging(world.service, []))

    async with World() as world:
        output = await _answer_of(world, Handler())
    assert output == {"Status": "SUCCEEDED", "Result": '"done"'}


async def test_those_just_woken_ride_along_with_what_is_left():
    @durable_execution
    async def workflow(event, ctx):
        async def body():
            return 1

        async def strand():
            await ctx.step(body)
            await ctx.step(body)

        await asyncio.gather(*(strand() for _ in range(300)))

    async with World() as world:
        await world.run(workflow)
    assert [len(call) for call in world.calls] == [250, 250, 250, 250, 200]


async def test_a_batch_stays_within_its_bytes():
    sizes = []

    class Measuring(InProcessClient):
        async def checkpoint(self, arn, token, updates, client_token):
            import json

            sizes.append(len(json.dumps({"CheckpointToken": token, "Updates": updates, "ClientToken": client_token})))
            return await super().checkpoint(arn, token, updates, client_token)

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            return '"' * 50_000 + "é" * 10_000

        await asyncio.gather(*(ctx.step(body) for _ in range(20)))

    class Handler:
        async def run(self, envelope, *, client, lambda_context=None):
            return await workflow.run(envelope, client=Measuring(world.service))

    async with World() as world:
        assert (await _answer_of(world, Handler()))["Status"] == "SUCCEEDED"
    assert len(sizes) > 5
    assert max(sizes) <= CHECKPOINT_BYTES


async def test_nothing_is_left_on_the_loop():
    before = asyncio.all_tasks()

    @durable_execution
    async def workflow(event, ctx):
        await asyncio.gather(*(ctx.step(lambda: 1) for _ in range(3)))
        asyncio.create_task(asyncio.sleep(3600))
        raise ValueError("no")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_failed_step_is_an_error_the_workflow_can_catch():
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(StepError):
            await ctx.step(lambda: 1 / 0)
        return "caught"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"caught"'
