"""Durable functions as the official SDK's users write them: nothing in here knows where they run."""

from aws_durable_execution_sdk_python import (
    BatchResult,
    CallbackError,
    DurableContext,
    InvocationError,
    InvokeError,
    StepContext,
    StepError,
    WithRetryConfig,
    durable_execution,
    durable_parallel_branch,
    durable_step,
    durable_wait_for_callback,
    durable_with_child_context,
    with_retry,
)
from aws_durable_execution_sdk_python.config import (
    CallbackConfig,
    CompletionConfig,
    Duration,
    JitterStrategy,
    MapConfig,
    ParallelConfig,
    StepConfig,
    StepSemantics,
    WaitForCallbackConfig,
)
from aws_durable_execution_sdk_python.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy

THREE_ATTEMPTS = create_retry_strategy(
    RetryStrategyConfig(max_attempts=3, initial_delay=Duration.from_seconds(10), jitter_strategy=JitterStrategy.NONE)
)


# --- steps and waits ---


@durable_step
def reserve(step_context: StepContext, item: str) -> dict:
    step_context.logger.info("reserving %s", item)
    return {"reserved": item}


@durable_execution
def step_and_wait(event: dict, context: DurableContext) -> list:
    reservation = context.step(reserve(event["item"]))
    context.wait(Duration.from_hours(1), name="cooling-off")
    return context.step(lambda _: [reservation["reserved"], "shipped"], name="ship")


attempts: dict[str, int] = {}


def failing_first(key: str, failures: int) -> int:
    """The number of the call; the first ``failures`` calls raise."""
    attempts[key] = attempts.get(key, 0) + 1
    if attempts[key] <= failures:
        raise ConnectionError(f"no line {attempts[key]}")
    return attempts[key]


@durable_execution
def retried(event: dict, context: DurableContext) -> int:
    return context.step(
        lambda _: failing_first(event["key"], 2), name="charge", config=StepConfig(retry_strategy=THREE_ATTEMPTS)
    )


@durable_execution
def exhausted(event: dict, context: DurableContext) -> str:
    try:
        context.step(
            lambda _: failing_first(event["key"], 99), name="charge", config=StepConfig(retry_strategy=THREE_ATTEMPTS)
        )
    except StepError as error:
        context.wait(Duration.from_seconds(5))
        return f"gave up: {error}"


@durable_execution
def failing(event: dict, context: DurableContext) -> None:
    context.step(
        lambda _: failing_first(event["key"], 99), name="charge", config=StepConfig(retry_strategy=RetryPresets.none())
    )


@durable_execution
def at_most_once(event: dict, context: DurableContext) -> str:
    config = StepConfig(step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=RetryPresets.none())
    return context.step(lambda _: "charged", name="charge", config=config)


@durable_execution
def invoked_again(event: dict, context: DurableContext) -> int:
    context.step(lambda _: "recorded", name="before")
    try:
        return failing_first(event["key"], 1)
    except ConnectionError as error:
        raise InvocationError(str(error)) from error


# --- contexts ---


@durable_with_child_context
def pack(child: DurableContext, items: list, wait: int) -> int:
    for item in items:
        child.step(lambda _, item=item: item, name=f"pack-{item}")
    child.wait(Duration.from_seconds(wait))
    return child.step(lambda _: len(items), name="count")


@durable_execution
def child_context(event: dict, context: DurableContext) -> int:
    return context.run_in_child_context(pack(event["items"], event["wait"]), name="pack")


@durable_execution
def large_child(event: dict, context: DurableContext) -> int:
    def produce(child: DurableContext) -> str:
        return "".join(child.step(lambda _, n=n: f"{n}" * 100_000, name=f"part-{n}") for n in range(4))

    text = context.run_in_child_context(produce, name="produce")
    context.wait(Duration.from_seconds(1))
    return len(text)


@durable_execution
def retried_block(event: dict, context: DurableContext) -> int:
    def block(child: DurableContext, attempt: int) -> int:
        return child.step(
            lambda _: failing_first(event["key"], 1),
            name="charge",
            config=StepConfig(retry_strategy=RetryPresets.none()),
        )

    return with_retry(context, block, WithRetryConfig(retry_strategy=THREE_ATTEMPTS), name="block")


# --- many at once ---


@durable_execution
def mapped(event: dict, context: DurableContext) -> list:
    def square(child: DurableContext, number: int, index: int, numbers: list) -> int:
        child.wait(Duration.from_seconds(10 + index))
        return child.step(lambda _: number * number, name=f"square-{number}")

    results: BatchResult = context.map(event["numbers"], square, name="squares", config=MapConfig(max_concurrency=2))
    context.wait(Duration.from_seconds(5))
    return results.get_results()


@durable_execution
def mapped_in_part(event: dict, context: DurableContext) -> dict:
    def check(child: DurableContext, number: int, index: int, numbers: list) -> int:
        if number < 0:
            raise ValueError(f"{number} is negative")
        return number

    config = MapConfig(max_concurrency=1, completion_config=CompletionConfig(tolerated_failure_count=1))
    results = context.map(event["numbers"], check, name="checks", config=config)
    context.wait(Duration.from_seconds(5))
    return {"succeeded": results.get_results(), "failed": [str(error.message) for error in results.get_errors()]}


@durable_parallel_branch(name="user")
def load_user(child: DurableContext, user: str) -> dict:
    return child.step(lambda _: {"user": user}, name="load-user")


@durable_parallel_branch(name="orders")
def load_orders(child: DurableContext, user: str) -> list:
    child.wait(Duration.from_seconds(60))
    return child.step(lambda _: ["one", "two"], name="load-orders")


@durable_execution
def parallel(event: dict, context: DurableContext) -> list:
    branches = [load_user(event["user"]), load_orders(event["user"])]
    return context.parallel(branches, name="load", config=ParallelConfig(max_concurrency=1)).get_results()


@durable_execution
def first_of(event: dict, context: DurableContext) -> list:
    def after(seconds: int):
        def branch(child: DurableContext) -> int:
            child.wait(Duration.from_seconds(seconds))
            return seconds

        return branch

    config = ParallelConfig(completion_config=CompletionConfig.first_successful())
    return context.parallel([after(7200), after(60)], name="race", config=config).get_results()


# --- the outside ---


@durable_execution
def callback(event: dict, context: DurableContext) -> dict:
    approval = context.create_callback(name="approve", config=CallbackConfig(timeout=Duration.from_hours(1)))
    context.step(lambda _: approval.callback_id, name="tell")
    try:
        return {"approved": approval.result()}
    except CallbackError as error:
        return {"refused": str(error), "as": type(error).__name__}


@durable_wait_for_callback
def ask(callback_id: str, context, whom: str) -> None:
    context.logger.info("asking %s about %s", whom, callback_id)


@durable_execution
def waited_callback(event: dict, context: DurableContext) -> str:
    config = WaitForCallbackConfig(heartbeat_timeout=Duration.from_minutes(10))
    return context.wait_for_callback(ask(event["whom"]), name="approval", config=config)


@durable_execution
def condition(event: dict, context: DurableContext) -> dict:
    strategy = create_wait_strategy(
        WaitStrategyConfig(
            should_continue_polling=lambda state: state["polls"] < 3,
            initial_delay=Duration.from_seconds(20),
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.wait_for_condition(
        lambda state, _: {"polls": state["polls"] + 1},
        WaitForConditionConfig(wait_strategy=strategy, initial_state={"polls": 0}),
        name="ready",
    )


@durable_execution
def invoking(event: dict, context: DurableContext) -> dict:
    kept = context.invoke("step_and_wait:$LATEST", {"item": event["item"]}, name="order")
    plain = context.invoke("plain", {"item": event["item"]})
    try:
        context.invoke("failing:$LATEST", {"key": event["key"]})
    except InvokeError as error:
        return {"order": kept, "plain": plain, "error": str(error)}


def plain(event: dict, context) -> dict:
    return {"plain": event}


# --- sizes ---


@durable_execution
def large_result(event: dict, context: DurableContext) -> str:
    return "x" * event["size"]


@durable_execution
def long_record(event: dict, context: DurableContext) -> int:
    texts = [context.step(lambda _, n=n: f"{n:02}" * 100_000, name=f"part-{n}") for n in range(event["parts"])]
    context.wait(Duration.from_seconds(1))
    return sum(len(text) for text in texts)
