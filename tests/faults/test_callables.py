"""Functions and configs are looked at when they are given: a refusal shows what to write."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import re
import warnings
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock, create_autospec

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import (
    CallbackConfig,
    CallbackTimeoutError,
    ChildConfig,
    CompletionConfig,
    DurableContext,
    ExecutionFailedError,
    InvokeConfig,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryDecision,
    RetryStrategy,
    StepConfig,
    WaitDecision,
    durable_execution,
)
from durable_async._callables import why_not_called
from durable_async.embedded import DurableService
from tests.world import World

if TYPE_CHECKING:
    from decimal import Decimal as TypeCheckersOnly

pytestmark = pytest.mark.anyio


def charge(cents):
    return cents


async def charge_async(cents):
    return cents


def charge_nothing():
    return 0


async def quiet():
    return 1


def rows(n):
    yield n


async def rows_async(n):
    yield n


def keyword_only(n, *, x):
    return n + x


def with_default(n, m=1):
    return n + m


class Shop:
    def method(self, n):
        return n

    async def method_async(self, n):
        return n

    async def workflow(self, event, ctx):
        return event

    def __call__(self, n):
        return n


async def failed(use):
    """What the workflow fails with that awaits ``use(ctx)``."""

    @durable_execution
    async def workflow(event, ctx):
        await use(ctx)

    async with DurableService() as service:
        service.register(workflow)
        with pytest.raises(ExecutionFailedError) as error:
            await (await service.start(workflow, {})).result()
    return error.value.message


async def raised(use):
    """What the workflow raises that calls ``use(ctx)``: at the call, before it awaits anything, and with no noise."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            use(ctx)
        except TypeError as error:
            seen.append(str(error))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with World() as world:
            arn = await world.start(workflow)
            closed = await world.finish(arn)
            recorded = [
                name for name in await world.event_types(arn) if not name.startswith(("Execution", "Invocation"))
            ]
        gc.collect()
    assert closed.status == "SUCCEEDED", closed.error
    assert recorded == []
    assert seen, "nothing was refused"
    return seen[0]


STEPS = [
    (lambda ctx: ctx.step(charge_async(1)), "ctx.step(charge_async, ...), not ctx.step(charge_async(...))"),
    (lambda ctx: ctx.step(quiet()), "ctx.step(quiet), not ctx.step(quiet())"),
    (lambda ctx: ctx.step(charge(1)), "takes a function and its arguments, as in ctx.step(charge, 1)"),
    (lambda ctx: ctx.step("charge", charge), "the name as name=: ctx.step(function, ..., name='charge')"),
    (lambda ctx: ctx.step(5), "of type int"),
    (lambda ctx: ctx.step(ctx.step(charge, 1)), "not the call of another operation"),
    (lambda ctx: ctx.step(charge, cents=1), "functools.partial: ctx.step(partial(charge, cents=...))"),
    (lambda ctx: ctx.step(charge), "cannot call charge: it takes 1 argument, and none are given"),
    (lambda ctx: ctx.step(charge, 1, 2), "it takes 1 argument, and 2 are given"),
    (lambda ctx: ctx.step(charge_nothing, 1), "it takes no argument, and 1 is given"),
    (lambda ctx: ctx.step(keyword_only, 1), "needs the keyword argument 'x': bind it with functools.partial"),
    (lambda ctx: ctx.step(functools.partial(charge, 1), 2), "it takes no argument, and 1 is given"),
    (lambda ctx: ctx.step(functools.partial(charge, cents=1), 2), "gets 'cents' twice"),
    (lambda ctx: ctx.step(Shop().method), "cannot call method: it takes 1 argument, and none are given"),
    (lambda ctx: ctx.step(Shop()), "it takes 1 argument, and none are given"),
    (lambda ctx: ctx.step(len), "cannot be called with no argument"),
    (lambda ctx: ctx.step(rows, 1), "generator function"),
    (lambda ctx: ctx.step(rows_async, 1), "generator function"),
    (lambda ctx: ctx.wait_for_callback(charge_nothing), "it takes no argument, and 1 is given"),
    (lambda ctx: ctx.wait_for_callback(charge_async("id")), "ctx.wait_for_callback(charge_async, ...)"),
    (lambda ctx: ctx.wait_for_condition(charge_nothing, 1, RetryStrategy.none()), "it takes no argument"),
    (lambda ctx: ctx.compensations().add(charge), "add cannot call charge: it takes 1 argument"),
    (lambda ctx: ctx.compensations().add_cleanup(quiet()), "add_cleanup(quiet), not add_cleanup(quiet())"),
    (lambda ctx: ctx.compensations().add(charge, cents=1), "functools.partial: add(partial(charge, cents=...))"),
    (lambda ctx: ctx.step("paid 1"), "of type str. To pass what a function returns, give the function itself"),
    (lambda ctx: ctx.step(another, {}), "ctx.step got another, which is a durable handler"),
    (lambda ctx: ctx.step(ctx.step, charge, 1), "ctx.step got ctx.step, which is an operation itself"),
    (lambda ctx: ctx.compensations().add(ctx.step, charge, 1), "give add the function to run"),
]


@pytest.mark.parametrize(("use", "text"), STEPS, ids=[text for _, text in STEPS])
async def test_a_function_that_cannot_be_called_is_refused_at_the_call(use, text):
    assert text in await raised(use)


async def takes_item_only(line: str) -> str:
    return line


async def swapped(line: str, ctx: DurableContext) -> str:
    return line


def plain(ctx, item):
    return item


async def branch(ctx):
    return 1


def plain_branch(ctx):
    return 1


CONTEXTS = [
    (
        lambda ctx: ctx.map(takes_item_only, ["a"]),
        "takes 1 argument, and 2 are given: write 'async def takes_item_only(ctx, item)'",
    ),
    (lambda ctx: ctx.map(swapped, ["a"]), "swap them"),
    (lambda ctx: ctx.map(plain, ["a"]), "is not a coroutine function: write 'async def plain(ctx, item)'"),
    (lambda ctx: ctx.map(rows, ["a"]), "generator function"),
    (lambda ctx: ctx.map(branch(ctx), ["a"]), "not the call branch(...)"),
    (lambda ctx: ctx.map(5, ["a"]), "not an object of type int"),
    (
        lambda ctx: ctx.parallel([branch, ctx.step(quiet)]),
        "not the call of an operation: write 'async def function(ctx)', or 'lambda ctx: ...'",
    ),
    (lambda ctx: ctx.parallel([("b", plain_branch)]), "async def plain_branch(ctx)"),
    (lambda ctx: ctx.parallel([quiet]), "async def quiet(ctx)"),
    (lambda ctx: ctx.parallel(branch), "takes a list of functions"),
    (lambda ctx: ctx.race(branch, plain_branch), "async def plain_branch(ctx)"),
    (lambda ctx: ctx.race([branch, branch]), "one by one, not in a list: ctx.race(*branches)"),
    (lambda ctx: ctx.run_in_child_context(plain_branch), "async def plain_branch(ctx)"),
    (lambda ctx: ctx.run_in_child_context(branch, 1), "async def branch(ctx, value)"),
    (lambda ctx: ctx.run_in_child_context(with_default_async, item=1), "partial(with_default_async, item=...)"),
    (lambda ctx: ctx.run_in_child_context(another, {}), "ctx.invoke('another:$LATEST', event)"),
    (lambda ctx: ctx.map(another, [{}]), "await another.workflow(event, ctx)"),
    (lambda ctx: ctx.map(ctx.step, [1]), "ctx.map got ctx.step, which is an operation itself"),
    (lambda ctx: ctx.map(plain_async, 5), "a list of items: ctx.map(function, [first, second]), not 5"),
    (lambda ctx: ctx.parallel(branch, branch), "in a list: ctx.parallel([first, second])"),
    (lambda ctx: ctx.with_retry(plain_branch, strategy=RetryStrategy.none()), "async def plain_branch(ctx)"),
    (lambda ctx: ctx.with_retry(branch, strategy=3), "strategy must be a RetryStrategy"),
]


@pytest.mark.parametrize(("use", "text"), CONTEXTS, ids=[text for _, text in CONTEXTS])
async def test_a_function_of_a_context_that_cannot_be_one_is_refused_at_the_call(use, text):
    assert text in await raised(use)


KEYWORDS = [
    (
        lambda ctx: ctx.step(quiet, retry_strategy=RetryStrategy.default()),
        "'retry_strategy'; for the option write config=StepConfig(retry_strategy=...)",
    ),
    (
        lambda ctx: ctx.step(fetch, timeout=3),
        "(timeout=...), and to pass it to the function use functools.partial: ctx.step(partial(fetch, timeout=...))",
    ),
    (
        lambda ctx: ctx.step(quiet, retries=3),
        "'retries'; config=StepConfig(...) takes retry_strategy, semantics, serializer, timeout",
    ),
    (lambda ctx: ctx.run_in_child_context(branch, virtual=True), "config=ChildConfig(virtual=...)"),
    (
        lambda ctx: ctx.with_retry(branch, strategy=RetryStrategy.none(), retries=3),
        "config=ChildConfig(...) takes serializer, summary, virtual",
    ),
    (lambda ctx: ctx.map(plain_async, [1], max_concurrency=4), "config=MapConfig(max_concurrency=...)"),
    (lambda ctx: ctx.parallel([branch], completion=None), "config=ParallelConfig(completion=...)"),
    (lambda ctx: ctx.create_callback(heartbeat_timeout=None), "config=CallbackConfig(heartbeat_timeout=...)"),
    (lambda ctx: ctx.wait_for_callback(charge, retry_strategy=None), "WaitForCallbackConfig(retry_strategy=...)"),
    (lambda ctx: ctx.invoke("other", timeout=None), "config=InvokeConfig(...) takes tenant_id"),
]


@pytest.mark.parametrize(("use", "text"), KEYWORDS, ids=[text for _, text in KEYWORDS])
async def test_an_option_outside_of_its_config_is_refused_with_its_place(use, text):
    assert text in await raised(use)


async def test_invoke_says_that_it_takes_a_name():
    assert "ctx.invoke('another:$LATEST', payload)" in await raised(lambda ctx: ctx.invoke(another, {}))
    assert "ctx.invoke('charge:$LATEST', payload)" in await raised(lambda ctx: ctx.invoke(charge, 1))


async def test_the_timeout_of_a_callback_can_be_given_without_a_config():
    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(timeout=timedelta(days=2), config=CallbackConfig(timeout=timedelta(1)))
        try:
            return await callback.result()
        except CallbackTimeoutError:
            return "nobody answered"

    async with World() as world:
        arn = await world.start(workflow)
        began = world.clock()
        closed = await world.finish(arn)
    assert json.loads(closed.result) == "nobody answered"
    assert world.clock() - began == timedelta(days=2).total_seconds()


CONFIGS = [
    (lambda ctx: ctx.step(quiet, config=RetryStrategy.none()), "must be a StepConfig, not a RetryStrategy: write"),
    (lambda ctx: ctx.step(quiet, config=RetryStrategy.default()), "write config=StepConfig(retry_strategy=...)"),
    (lambda ctx: ctx.step(quiet, config=lambda error, attempt: None), "write config=StepConfig(retry_strategy=...)"),
    (lambda ctx: ctx.step(quiet, config=StepConfig), "not the class StepConfig: call it"),
    (lambda ctx: ctx.step(quiet, config=ChildConfig()), "config must be a StepConfig, not a ChildConfig"),
    (lambda ctx: ctx.run_in_child_context(branch, config=StepConfig()), "config must be a ChildConfig"),
    (lambda ctx: ctx.map(plain_async, [1], config=ParallelConfig()), "config must be a MapConfig"),
    (lambda ctx: ctx.parallel([branch], config=MapConfig()), "config must be a ParallelConfig"),
    (lambda ctx: ctx.wait_for_callback(charge, config=CallbackConfig()), "config must be a WaitForCallbackConfig"),
    (lambda ctx: ctx.create_callback(config=5), "config must be a CallbackConfig, not a int"),
    (lambda ctx: ctx.invoke("other:1", config=StepConfig()), "config must be a InvokeConfig"),
]


async def plain_async(ctx, item):
    return item


async def with_default_async(ctx, item=1):
    return item


async def fetch(timeout=1):
    return timeout


@durable_execution
async def another(event, ctx):
    return event


async def decides(one, two=None):
    return None


DECIDERS = [
    (lambda: StepConfig(retry_strategy=3), "not 3: write RetryStrategy.exponential(max_attempts=3)"),
    (lambda: StepConfig(retry_strategy=RetryStrategy.fixed), "that makes one: write RetryStrategy.fixed()"),
    (lambda: StepConfig(timeout=30), "timeout must be a datetime.timedelta, not 30: write timedelta(seconds=30)"),
    (lambda: CallbackConfig(timeout=30), "timeout must be a datetime.timedelta, not 30: write timedelta(seconds=30)"),
    (lambda: RetryDecision.retry_after(5), "delay must be a datetime.timedelta, not 5: write timedelta(seconds=5)"),
    (lambda: WaitDecision.continue_after(5), "delay must be a datetime.timedelta, not 5: write timedelta(seconds=5)"),
    (lambda: MapConfig(completion=3), "completion must be a CompletionConfig, not 3"),
    (lambda: MapConfig(completion=CompletionConfig), "completion must be a CompletionConfig, not the class Comp"),
    (lambda: InvokeConfig(cancel_with_parent=1), "cancel_with_parent must be a bool, not 1"),
    (lambda: StepConfig(retry_strategy=decides), "retry_strategy must be a plain function, not 'async def'"),
    (
        lambda: StepConfig(retry_strategy=lambda error: None),
        "retry_strategy must be a function of (error, attempt), and <lambda> takes 1 argument",
    ),
    (lambda: CompletionConfig(custom=decides), "custom must be a plain function"),
    (lambda: CompletionConfig(custom=lambda: None), "custom must be a function of (progress)"),
    (lambda: CompletionConfig(custom=5), "custom must be a function of (progress), not 5"),
    (lambda: MapConfig(item_namer=lambda item: "x"), "item_namer must be a function of (item, index)"),
    (lambda: MapConfig(summary=decides), "summary must be a plain function"),
    (lambda: ChildConfig(summary=lambda: "x"), "summary must be a function of (result)"),
]


@pytest.mark.parametrize(("make", "text"), DECIDERS, ids=[text for _, text in DECIDERS])
def test_a_function_that_cannot_decide_is_refused_by_the_config(make, text):
    with pytest.raises(TypeError) as refused:
        make()
    assert text in str(refused.value)
    assert StepConfig(retry_strategy=lambda error, attempt, more=1: None) and ChildConfig(summary=str)


def test_a_text_that_names_no_member_is_refused_with_the_members():
    with pytest.raises(ValueError, match=r"write StepSemantics\.AT_LEAST_ONCE_PER_RETRY or StepSemantics\.AT_MOST"):
        StepConfig(semantics="at most once")
    with pytest.raises(
        ValueError, match=r"'flat' is not a NestingType: write NestingType\.NESTED or NestingType\.FLAT"
    ):
        MapConfig(nesting="flat")
    assert MapConfig(nesting="FLAT").nesting is NestingType.FLAT


async def test_a_strategy_that_returns_a_bool_is_refused_with_what_to_write():
    assert "but returned False. For a function that says whether to go on, write WaitStrategy.fixed(" in await failed(
        lambda ctx: ctx.wait_for_condition(charge, 1, lambda state, attempt: False)
    )
    stubborn = StepConfig(retry_strategy=lambda error, attempt: True)
    assert "but returned True: return RetryDecision.retry_after(delay) or RetryDecision.do_not" in await failed(
        lambda ctx: ctx.step(lambda: 1 / 0, config=stubborn)
    )


@pytest.mark.parametrize("name", [5, 0, b"charge", 1.5])
async def test_a_name_that_is_no_text_is_refused(name):
    assert f"name must be a str, not {name!r}: write name=str(...)" in await raised(
        lambda ctx: ctx.step(charge, 1, name=name)
    )


@pytest.mark.parametrize("key", [5, b"charge", object])
async def test_a_key_that_is_no_text_is_refused(key):
    refused = f"a key must be a str, not {key!r}: write its text, which must be the same on each replay"
    assert refused in await raised(lambda ctx: ctx.step(charge, 1, key=key))
    assert refused in await raised(lambda ctx: ctx.wait(timedelta(seconds=1), key=key))
    assert refused in await raised(lambda ctx: ctx.at(key).step(charge, 1))


async def test_a_moment_in_place_of_a_duration_is_refused_with_what_to_write():
    assert "write the time from now until then, 'moment - ctx.now()'" in await raised(
        lambda ctx: ctx.wait(datetime(2026, 2, 1))
    )


async def test_an_error_about_a_value_names_an_operation_without_a_name_briefly():
    message = await failed(lambda ctx: ctx.step(lambda: {"a": ...}))
    assert re.search(r"the unnamed operation [0-9a-f]{8}: \$\.a: JSON cannot hold", message)


async def test_a_wait_strategy_that_cannot_decide_is_refused_at_the_call():
    assert "strategy must be a function of (state, attempt)" in await raised(
        lambda ctx: ctx.wait_for_condition(charge, 1, lambda: None)
    )
    assert "write WaitStrategy.fixed(should_continue), which checks again as long as" in await raised(
        lambda ctx: ctx.wait_for_condition(charge, 1, lambda state: None)
    )
    assert "strategy must be a plain function" in await raised(lambda ctx: ctx.wait_for_condition(charge, 1, decides))


@pytest.mark.parametrize(("use", "text"), CONFIGS, ids=[text for _, text in CONFIGS])
async def test_a_config_of_another_class_is_refused_at_the_call(use, text):
    assert text in await raised(use)


async def succeeds(workflow, event=b"{}"):
    async with World() as world:
        closed = await world.run(workflow if hasattr(workflow, "run") else durable_execution(workflow), event)
    assert closed.status == "SUCCEEDED", closed.error
    return json.loads(closed.result)


async def test_none_as_a_config_is_the_default():
    async def workflow(event, ctx):
        return [
            await ctx.step(charge, 1, config=None),
            await ctx.run_in_child_context(branch, config=None),
            (await ctx.map(plain_async, [2], config=None)).results(),
            (await ctx.parallel([branch], config=None)).results(),
            (await ctx.create_callback(config=None)).callback_id != "",
        ]

    assert await succeeds(workflow) == [1, 1, [2], [1], True]


def decorated(func):
    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        return func(*args, **kwargs)

    return wrapper


async def test_every_kind_of_callable_that_fits_runs():
    def in_the_loop() -> Awaitable[list[int]]:
        return asyncio.gather(charge_async(1), charge_async(2))

    def a_future() -> asyncio.Future[int]:
        return asyncio.ensure_future(charge_async(3))

    async def workflow(event, ctx):
        return [
            await ctx.step(charge, 1),
            await ctx.step(with_default, 1),
            await ctx.step(with_default, 1, 2),
            await ctx.step(functools.partial(keyword_only, x=3), 1),
            await ctx.step(Shop().method, 5),
            await ctx.step(Shop().method_async, 6),
            await ctx.step(Shop(), 7),
            await ctx.step(decorated(charge_async), 8),
            await ctx.step(lambda: charge_async(9)),
            await ctx.step(int, "10"),
            await ctx.step(Mock(return_value=11), 1, 2),
            await ctx.step(AsyncMock(return_value=12), 1),
            await ctx.step(AsyncMock(spec=charge_async, return_value=14), 1),
            await ctx.step(create_autospec(charge, return_value=15), 1),
            await ctx.run_in_child_context(AsyncMock(return_value=16)),
            await ctx.step(in_the_loop),
            await ctx.step(a_future),
            await ctx.run_in_child_context(decorated(branch)),
            (await ctx.map(functools.partial(lambda n, ctx, item: plain_async(ctx, n + item), 1), [1])).results(),
        ]

    assert await succeeds(workflow) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, [1, 2], 3, 1, [2]]


@pytest.mark.parametrize(
    "body",
    [
        lambda: asyncio.gather(asyncio.sleep(0)),
        lambda: asyncio.create_task(asyncio.sleep(0)),
        lambda: asyncio.shield(asyncio.sleep(0)),
        lambda: asyncio.get_running_loop().create_future(),
    ],
    ids=["gather", "create_task", "shield", "future"],
)
@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_plain_function_that_needs_the_loop_is_told_to_be_async_and_is_not_retried(body):
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(
            lambda: (attempts.append(1), body())[1], config=StepConfig(retry_strategy=RetryStrategy.default())
        )

    async with World() as world:
        closed = await world.run(workflow)
    gc.collect()
    assert "async def both(): return await asyncio.gather(one(), two())" in closed.error["ErrorMessage"]
    assert attempts == [1]


async def test_another_runtime_error_of_a_thread_stays_as_it_is():
    def fails():
        raise RuntimeError("Event loop is closed")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(fails)

    async with World() as world:
        assert (await world.run(workflow)).error["ErrorMessage"] == "Event loop is closed"


async def test_a_lambda_in_map_that_makes_no_coroutine_is_explained():
    @durable_execution
    async def workflow(event, ctx):
        (await ctx.map(lambda ctx, n: n, [1])).throw_if_error()

    async with World() as world:
        assert "returned an object of type int when it was called" in (await world.run(workflow)).error["ErrorMessage"]


# --- handlers ---


def sync_handler(event, ctx):
    return 1


async def one(event):
    return 1


async def three(event, ctx, more):
    return 1


async def swapped_handler(ctx: DurableContext, event: dict[str, Any]):
    return 1


async def swapped_by_name(ctx, event):
    return 1


HANDLERS = [
    (sync_handler, "is not a coroutine function: write 'async def sync_handler(event, ctx)'"),
    (rows, "generator function"),
    (rows_async, "generator function"),
    (one, "takes 1 argument, and 2 are given: write 'async def one(event, ctx)'"),
    (three, "takes 3 arguments, and 2 are given"),
    (swapped_handler, "its parameters are (ctx, event): swap them"),
    (swapped_by_name, "swap them"),
    (Shop.workflow, "Pass a bound method"),
    (5, "'async def function(event, ctx)', not an object of type int"),
]


@pytest.mark.parametrize(("func", "text"), HANDLERS, ids=[text for _, text in HANDLERS])
def test_what_cannot_be_a_workflow_is_refused_by_the_decorator(func, text):
    for decorate in (durable_execution, durable_execution()):
        with pytest.raises(TypeError) as refused:
            decorate(func)
        assert text in str(refused.value)


def test_a_coroutine_instead_of_a_workflow_is_refused_and_closed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"not the call one\(\.\.\.\)"):
            durable_execution(one({}))
        gc.collect()


@attrs.frozen
class Order:
    cents: int


@attrs.frozen
class Settings:
    currency: str


async def configured(settings: Settings, order: Order, ctx: DurableContext) -> list[Any]:
    return [settings.currency, order.cents]


class Till:
    def __init__(self):
        self.currency = "EUR"

    async def workflow(self, order: Order, ctx: DurableContext) -> list[Any]:
        return [self.currency, order.cents]

    @decorated
    async def wrapped(self, order: Order, ctx: DurableContext) -> list[Any]:
        return [self.currency, order.cents]

    async def __call__(self, order: Order, ctx: DurableContext) -> list[Any]:
        return [self.currency, order.cents]


def delegating(order: Order, ctx: DurableContext) -> Awaitable[list[Any]]:
    return configured(Settings("EUR"), order, ctx)


BOUND = {
    "partial": functools.partial(configured, Settings("EUR")),
    "partial by keyword": functools.partial(configured, settings=Settings("EUR")),
    "method": Till().workflow,
    "decorated method": Till().wrapped,
    "object": Till(),
    "decorated": decorated(functools.partial(configured, Settings("EUR"))),
    "annotated": delegating,
}


@pytest.mark.parametrize("kind", [kind for kind in BOUND if kind != "partial by keyword"])
async def test_the_event_is_the_first_parameter_that_is_not_bound(kind):
    handler = durable_execution(BOUND[kind])
    assert await succeeds(handler, b'{"cents": 5}') == ["EUR", 5]


def test_a_partial_that_binds_the_event_by_keyword_is_refused():
    with pytest.raises(TypeError, match="gets 'settings' twice"):
        durable_execution(BOUND["partial by keyword"])


def test_a_handler_shows_the_name_of_its_function():
    assert repr(durable_execution(one_of(1))) == f"<DurableHandler {__name__}.one_of.<locals>.workflow>"
    assert (
        repr(durable_execution(functools.partial(configured, Settings("EUR"))))
        == f"<DurableHandler {__name__}.configured>"
    )
    assert durable_execution(functools.partial(configured, Settings("EUR"))).__name__ == "configured"


def one_of(n):
    async def workflow(event, ctx):
        return n

    return workflow


async def test_a_local_class_is_found():
    @attrs.frozen
    class Local:
        cents: int

    @durable_execution
    async def workflow(event: Local, ctx: DurableContext) -> int:
        def make() -> Local:
            return Local(event.cents)

        return (await ctx.step(make)).cents

    @durable_execution()
    async def with_options(event: Local, ctx: DurableContext) -> int:
        return event.cents

    assert await succeeds(workflow, b'{"cents": 5}') == 5
    assert await succeeds(with_options, b'{"cents": 6}') == 6


@durable_execution
async def early(event: DefinedLater, ctx: DurableContext) -> int:
    return event.cents


@attrs.frozen
class DefinedLater:
    cents: int


async def test_a_class_that_the_module_defines_later_is_found():
    assert await succeeds(early, b'{"cents": 7}') == 7


async def test_a_name_that_only_type_checkers_see_is_warned_of_once(caplog):
    def price() -> TypeCheckersOnly:
        return 3

    @durable_execution
    async def workflow(event: TypeCheckersOnly, ctx: DurableContext) -> Any:
        return [event, await ctx.step(price), await ctx.step(price)]

    with caplog.at_level(logging.WARNING, "durable_async"):
        assert await succeeds(workflow, b"2") == [2, 3, 3]
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "annotation of 'event'" in texts[0] and "'TypeCheckersOnly' is not defined" in texts[0]
    assert "the return annotation of" in texts[1] and "test_callables.py:" in texts[1]
    assert all("under TYPE_CHECKING" in text for text in texts)


# --- the embedded service ---


async def test_a_workflow_that_was_not_decorated_is_refused_where_it_is_registered_or_started():
    async def forgotten(event, ctx: DurableContext): ...

    async def ordinary(event, context): ...

    async with DurableService() as service:
        with pytest.raises(
            TypeError, match=r"forgotten, which takes a DurableContext .* put @durable_execution above it"
        ):
            service.register(forgotten)
        service.register(ordinary)
        with pytest.raises(TypeError, match=r"ordinary is not a durable handler\. Put @durable_execution above it"):
            await service.start(ordinary, {})
        with pytest.raises(Exception, match=r"ordinary is not durable\. In Python, put @durable_execution above it"):
            await service.start("ordinary", {})
        with pytest.raises(TypeError, match="register cannot call charge: it takes 1 argument, and 2 are given"):
            service.register(charge)
        with pytest.raises(TypeError, match="generator function"):
            service.register(rows)
        with pytest.raises(
            LookupError, match=r"the handler workflow is not registered: call service\.register\(workflow\)"
        ):
            await service.start(durable_execution(one_of(1)), {})


async def test_a_service_that_was_not_entered_says_what_to_write(tmp_path):
    for path in (None, "orders.db"):
        service = DurableService(path)
        handler = durable_execution(one_of(1))
        service.register(handler)
        for use in (
            lambda: service.start(handler, {}),
            lambda: service.find(handler, "name"),
            lambda: service.succeed_callback("id"),
            lambda: anext(service.executions(handler)),
        ):
            with pytest.raises(RuntimeError, match=r"async with DurableService\(\.\.\.\) as service"):
                await use()


@given(
    positional=st.integers(0, 4),
    defaults=st.integers(0, 4),
    variadic=st.booleans(),
    only=st.lists(st.booleans(), max_size=2),
    bound=st.integers(0, 3),
    keywords=st.sets(st.sampled_from(["p0", "p1", "p2", "p3", "k0", "k1"]), max_size=3),
    count=st.integers(0, 5),
)
def test_a_call_is_refused_exactly_if_python_would_refuse_it(
    positional, defaults, variadic, only, bound, keywords, count
):
    optional = positional - min(defaults, positional)
    parts = [f"p{n}" if n < optional else f"p{n}=None" for n in range(positional)]
    names = {f"p{n}" for n in range(positional)} | {f"k{n}" for n in range(len(only))}
    if variadic or only:
        parts.append("*rest" if variadic else "*")
    parts += [f"k{n}=None" if each else f"k{n}" for n, each in enumerate(only)]
    function = eval(f"lambda {', '.join(parts)}: True")
    func = functools.partial(function, *range(bound), **dict.fromkeys(keywords & names))
    try:
        fits = func(*range(count))
    except TypeError:
        fits = False
    assert (why_not_called(func, count) is None) is fits
