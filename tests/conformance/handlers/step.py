"""Suite ``step``: results, names, serializers, retries, interrupted attempts, replay."""

import json
import os
from datetime import timedelta

from durable_async import (
    DurableContext,
    JitterStrategy,
    RetryDecision,
    RetryStrategy,
    SerializerContext,
    StepConfig,
    StepError,
    StepSemantics,
    current_step,
    durable_execution,
)

from .common import A_SECOND, FAILS_AT_ONCE, TWO_ATTEMPTS, do_nothing, fail, same


async def greet(name):
    return f"Hello, {name}!"


@durable_execution
async def one_step(event, ctx: DurableContext):
    return await ctx.step(greet, event)


@durable_execution
async def named_step(event, ctx: DurableContext):
    return await ctx.step(greet, event, name="custom_step_name")


@durable_execution
async def dependent_steps(event, ctx: DurableContext):
    async def step_one():
        return "first"

    async def step_two(previous):
        return f"{previous}_second"

    return await ctx.step(step_two, await ctx.step(step_one))


@durable_execution
async def complex_result(event, ctx: DurableContext):
    async def build_response(request):
        return {"user": {"name": request["name"], "tags": request["tags"]}, "count": len(request["tags"])}

    return await ctx.step(build_response, event)


@durable_execution
async def null_result(event, ctx: DurableContext):
    return await ctx.step(do_nothing)


class UppercaseSerializer:
    """Turns a string to upper case on its way to the record."""

    def serialize(self, value: str, context: SerializerContext) -> str:
        return json.dumps(value.upper())

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return json.loads(text)


@durable_execution
async def custom_serializer(event, ctx: DurableContext):
    return await ctx.step(same, event, config=StepConfig(serializer=UppercaseSerializer()))


@durable_execution
async def step_logger(event, ctx: DurableContext):
    async def greet_aloud(name):
        logger = current_step().logger
        logger.info("Greeting step started for: %s", name)
        greeting = await greet(name)
        logger.info("Greeting step completed with: %s", greeting)
        return greeting

    return await ctx.step(greet_aloud, event)


@durable_execution
async def replay_skips_a_success(event, ctx: DurableContext):
    async def compute():
        current_step().logger.info("step executed")
        return "cached_value"

    value = await ctx.step(compute)
    await ctx.wait(A_SECOND)
    return value


@durable_execution
async def step_and_wait(event, ctx: DurableContext):
    async def compute():
        return "computed"

    value = await ctx.step(compute)
    await ctx.wait(timedelta(seconds=2))
    return value


@durable_execution
async def replay_raises_a_failure_again(event, ctx: DurableContext):
    async def fail_aloud():
        current_step().logger.info("step executed")
        await fail()

    try:
        await ctx.step(fail_aloud, config=FAILS_AT_ONCE)
    except StepError:
        await ctx.wait(A_SECOND)


@durable_execution
async def retried_step(event, ctx: DurableContext):
    async def unreliable():
        if current_step().attempt == 1:
            raise ConnectionError("the first attempt fails")
        return "Operation succeeded"

    return await ctx.step(unreliable, config=StepConfig(retry_strategy=TWO_ATTEMPTS))


@durable_execution
async def exhausted_retries(event, ctx: DurableContext):
    strategy = RetryStrategy.fixed(delay=A_SECOND, max_attempts=4)
    await ctx.step(fail, config=StepConfig(retry_strategy=strategy))


async def succeed_at_the_third_attempt():
    if current_step().attempt < 3:
        raise ConnectionError("the first two attempts fail")
    return "third"


# Without this strategy the step would be attempted once: see DEPARTURES.
@durable_execution(step=StepConfig(retry_strategy=RetryStrategy.default()))
async def default_retries(event, ctx: DurableContext):
    return await ctx.step(succeed_at_the_third_attempt)


@durable_execution
async def growing_delays(event, ctx: DurableContext):
    strategy = RetryStrategy.exponential(
        max_attempts=5, initial_delay=timedelta(seconds=2), backoff_rate=3, jitter=JitterStrategy.NONE
    )
    return await ctx.step(succeed_at_the_third_attempt, config=StepConfig(retry_strategy=strategy))


class TransientError(Exception):
    pass


@durable_execution
async def error_that_is_retried(event, ctx: DurableContext):
    async def fail_once():
        if current_step().attempt == 1:
            raise TransientError("to be retried")

    strategy = RetryStrategy.fixed(delay=A_SECOND, max_attempts=2, retry_on=TransientError)
    await ctx.step(fail_once, config=StepConfig(retry_strategy=strategy))


@durable_execution
async def error_that_is_not_retried(event, ctx: DurableContext):
    async def fail_briefly():
        raise TransientError("not to be retried")

    def retry_all_but_transient_errors(error, attempt):
        if isinstance(error, TransientError):
            return RetryDecision.do_not_retry()
        return RetryDecision.retry_after(A_SECOND)

    await ctx.step(fail_briefly, config=StepConfig(retry_strategy=retry_all_but_transient_errors))


@durable_execution
async def interrupted_step(event, ctx: DurableContext):
    async def at_most_once_flaky_step(text):
        current_step().logger.info(text)
        os._exit(1)

    config = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)
    await ctx.step(at_most_once_flaky_step, event, config=config)


@durable_execution
async def interrupted_step_with_retry(event, ctx: DurableContext):
    async def crash_once(text):
        current_step().logger.info(text)
        if current_step().attempt == 1:
            os._exit(1)
        return "succeeded on second attempt"

    config = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=TWO_ATTEMPTS)
    return await ctx.step(crash_once, event, config=config)


@durable_execution
async def failing_step(event, ctx: DurableContext):
    await ctx.step(fail, config=FAILS_AT_ONCE)


@durable_execution
async def caught_error(event, ctx: DurableContext):
    try:
        value = await ctx.step(fail, config=FAILS_AT_ONCE)
    except StepError:
        value = "fallback_result"
    return await ctx.step(same, value)


HANDLERS = {
    "1-1": one_step,
    "1-2": named_step,
    "1-3": dependent_steps,
    "1-4": complex_result,
    "1-5": null_result,
    "1-6": custom_serializer,
    "1-7": step_logger,
    "1-8": step_and_wait,
    "1-9": replay_skips_a_success,
    "1-10": replay_raises_a_failure_again,
    "1-11": retried_step,
    "1-12": exhausted_retries,
    "1-13": default_retries,
    "1-14": growing_delays,
    "1-15": error_that_is_retried,
    "1-16": error_that_is_not_retried,
    "1-17": interrupted_step,
    "1-18": interrupted_step_with_retry,
    "1-19": failing_step,
    "1-20": caught_error,
}
