"""Any exception is recorded, with what it holds and what led to it, and nothing that looks at one is taken down."""

import asyncio
import json
import logging
import traceback
from datetime import timedelta

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import (
    ContextMisuseError,
    ExecutionFailedError,
    NonDeterminismError,
    NonRetryableError,
    RetryAfterError,
    RetryDecision,
    RetryStrategy,
    StepConfig,
    StepError,
    durable_execution,
)
from durable_async._engine.error_objects import error_object
from durable_async._raised import leaves, place_of, trace_of
from durable_async._wire.limits import ERROR_BYTES
from durable_async.embedded import DurableService
from durable_async.errors import OperationLabel
from durable_async.service import ApiError
from durable_async.service.functions.base import in_process_function
from tests.world import World

SOON = timedelta(seconds=1)
HERE = __name__


class Mute(Exception):
    def __str__(self):
        raise TypeError("no text")


class Loud(str):
    __slots__ = ()

    def __str__(self):
        return "another text"


class TextOfASubclass(Exception):
    def __str__(self):
        return Loud("text")


class Impostor(Exception):
    @property
    def __class__(self):
        return NonRetryableError


class NoTraceback(Exception):
    @property
    def __traceback__(self):
        raise RuntimeError("no traceback")


class NoCause(Exception):
    @property
    def __cause__(self):
        raise RuntimeError("no cause")


class StrangeNotes(Exception):
    __notes__ = (Mute(), 5, None)


class OutOfStock(Exception):
    pass


class CardDeclined(Exception):
    pass


@pytest.fixture
def no_log(caplog):
    """What is logged goes into the report of the test, which cannot hold every text."""
    caplog.set_level("CRITICAL", "durable_async")


def raised(error, cause=None):
    """The error as an ``except`` clause gets it."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


async def failed_step(make_error, retry_strategy=None):
    """What the workflow sees of a step that fails, and what is on record of it."""
    seen = []
    attempts = []

    async def body():
        attempts.append(1)
        raise make_error()

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(body, config=StepConfig(retry_strategy=retry_strategy))
        except StepError as error:
            seen.append(error)
        await ctx.wait(SOON)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED", closed.error
    first, replayed = seen[-2:]
    assert first.args == replayed.args and first.stack_trace == replayed.stack_trace
    return first, len(attempts)


UNPRINTABLE = [  # by Python's own traceback module too, and so by the handler of a log
    pytest.param(lambda: NoTraceback("text"), "text", id="its traceback raises"),
    pytest.param(lambda: NoCause("text"), "text", id="its cause raises"),
]
ODD = [
    pytest.param(Mute, "raised TypeError", id="its str raises"),
    pytest.param(TextOfASubclass, "text", id="its text is of a subclass"),
    pytest.param(lambda: Impostor("text"), "text", id="its class lies"),
    pytest.param(lambda: StrangeNotes("text"), "text", id="its notes are no texts"),
    pytest.param(lambda: ValueError("\ud800\x00"), "\ud800\x00", id="no unicode text"),
    pytest.param(lambda: StepError(42), "42", id="an error of ours with a wrong message"),
    pytest.param(lambda: StepError("text", data=object(), stack_trace=7), "text", id="an error of ours, wrong fields"),
    pytest.param(lambda: ValueError("x" * 3_000_000), "[cut: ", id="large text"),
]


@pytest.mark.parametrize(("make", "message"), ODD + UNPRINTABLE)
async def test_a_step_that_raises_anything_fails_with_it(make, message):
    error, attempts = await failed_step(make)
    assert message in error.message and attempts == 1
    assert error.error_type.startswith(HERE) or error.error_type.endswith(("ValueError", "StepError"))


@pytest.mark.parametrize(("make", "message"), ODD + UNPRINTABLE)
async def test_a_step_that_raises_anything_is_retried(make, message):
    strategy = RetryStrategy.fixed(delay=SOON, max_attempts=3, retry_on=Exception, retry_on_message="nothing like it")
    error, attempts = await failed_step(make, strategy)
    assert message in error.message and attempts == 3


@pytest.mark.parametrize(("make", "message"), ODD)
async def test_a_workflow_that_raises_anything_fails_with_it(make, message, no_log):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: None, name="first")
        raise make()

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED" and message in closed.error["ErrorMessage"]
    assert world.invocations == 1


@pytest.mark.parametrize(("make", "message"), ODD)
async def test_a_child_context_that_raises_anything_fails_with_it(make, message, no_log):
    async def child(ctx):
        raise make()

    @durable_execution
    async def workflow(event, ctx):
        await ctx.run_in_child_context(child)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED" and message in closed.error["ErrorMessage"]


async def test_a_callback_can_be_failed_and_a_plain_function_fail_with_anything():
    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback()
        ids.put_nowait(callback.callback_id)
        return await callback.result()

    @durable_execution
    async def calls(event, ctx):
        return await ctx.invoke("plain")

    def plain(event, context):
        raise Mute

    ids = asyncio.Queue()
    async with DurableService() as service:
        for function in (workflow, calls, plain):
            service.register(function)
        waiting = await service.start(workflow, {})
        await service.fail_callback(await ids.get(), Mute())
        with pytest.raises(ExecutionFailedError, match=r"Mute: .*raised TypeError"):
            await waiting.result()
        with pytest.raises(ExecutionFailedError, match="raised TypeError"):
            await (await service.start(calls, {})).result()
    assert in_process_function(plain)


# --- groups ---


def group(*errors):
    return ExceptionGroup("unhandled errors in a TaskGroup", errors)


def test_a_group_tells_its_members_and_theirs():
    error = group(OutOfStock("sofa"), group(CardDeclined("no money"), Mute()))
    told = error_object(error, of="Step 'x'")
    assert told["ErrorType"] == "ExceptionGroup"
    assert told["ErrorMessage"] == (
        "unhandled errors in a TaskGroup (2 sub-exceptions): "
        f"{HERE}.OutOfStock: sofa; {HERE}.CardDeclined: no money; "
        f"{HERE}.Mute: (str() of this {HERE}.Mute raised TypeError)"
    )


def test_a_group_of_thousands_and_a_group_in_thousands_of_groups_are_told_in_few_words():
    deep = OutOfStock("sofa")
    for _ in range(3000):
        deep = group(deep)
    for error in (group(*(OutOfStock("x" * 5000) for _ in range(3000))), deep):
        told = error_object(raised(error), of="Step 'x'")
        assert f"{HERE}.OutOfStock: " in told["ErrorMessage"]
        assert len(json.dumps(told)) < ERROR_BYTES


@given(st.recursive(st.integers(), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=30))
def test_the_leaves_of_a_group_are_its_errors_in_order(tree):
    def built(node):
        return group(*map(built, node)) if isinstance(node, list) else ValueError(node)

    def flat(node):
        return [leaf for each in node for leaf in flat(each)] if isinstance(node, list) else [node]

    assert [leaf.args[0] for leaf in leaves(built(tree))] == flat(tree)


async def test_what_failed_in_a_task_group_of_a_step_and_of_the_workflow_is_on_record():
    async def fails(error):
        raise error

    async def body():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails(OutOfStock("sofa")))

    @durable_execution
    async def workflow(event, ctx):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.step(body, name="reserve"))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "ExceptionGroup"
    assert f"{HERE}.OutOfStock: sofa" in closed.error["ErrorMessage"]
    assert any("'reserve'" in line for line in closed.error["StackTrace"])


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        pytest.param(group(OutOfStock("a")), 3, id="it is retried"),
        pytest.param(group(group(OutOfStock("a")), OutOfStock("b")), 3, id="all are"),
        pytest.param(group(OutOfStock("a"), CardDeclined("b")), 1, id="one is not"),
        pytest.param(group(CardDeclined("busy"), OutOfStock("a")), 3, id="one by its message"),
        pytest.param(group(OutOfStock("a"), NonRetryableError("b")), 1, id="one never is"),
        pytest.param(group(OutOfStock("a"), RetryAfterError(SOON)), 3, id="one asks for it"),
        pytest.param(group(OutOfStock("a"), ContextMisuseError("b")), 1, id="one cannot succeed"),
        pytest.param(raised(CardDeclined("b"), OutOfStock("a")), 1, id="a cause does not count"),
    ],
)
async def test_retry_on_looks_into_groups(error, attempts):
    strategy = RetryStrategy.fixed(delay=SOON, max_attempts=3, retry_on=OutOfStock, retry_on_message="busy")
    assert (await failed_step(lambda: error, strategy))[1] == attempts


def test_a_group_is_retried_if_its_own_type_is_named():
    strategy = RetryStrategy.fixed(delay=SOON, retry_on=ExceptionGroup)
    assert strategy.should_retry(group(CardDeclined("a")), 1) == RetryDecision.retry_after(SOON)
    assert not strategy.should_retry(CardDeclined("a"), 1).should_retry


def test_the_longest_delay_that_a_member_asks_for_counts():
    strategy = RetryStrategy.fixed(delay=SOON)
    error = group(RetryAfterError(30 * SOON), group(RetryAfterError(90 * SOON)), OutOfStock("a"))
    assert strategy.should_retry(error, 1).delay == 90 * SOON


async def test_a_retried_block_is_not_repeated_for_a_misuse_in_a_group():
    async def block(ctx):
        entered.append(1)
        raise group(ContextMisuseError("never right"))

    @durable_execution
    async def workflow(event, ctx):
        await ctx.with_retry(block, strategy=RetryStrategy.fixed(delay=SOON))

    entered = []
    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED" and len(entered) == 1


# --- causes, notes, traces ---


def cause_and_note():
    try:
        raise KeyError("sofa")
    except KeyError as error:
        wrapped = OutOfStock("nothing left")
        wrapped.add_note("shelf 7")
        wrapped.add_note("asked twice")
        raise wrapped from error


async def test_the_cause_the_notes_and_the_places_of_an_error_are_in_its_trace():
    async def body():
        cause_and_note()

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(body)

    async with World() as world:
        closed = await world.run(workflow)
    trace = closed.error["StackTrace"]
    text = "".join(trace)
    assert "in cause_and_note" in text and "shelf 7\nasked twice\n" in text
    assert "caused by KeyError: 'sofa'\n" in trace
    assert "durable_async/" not in text and "asyncio/" not in text and "anyio/" not in text
    assert place_of(trace) == (closed.error["StackTrace"][0].split()[-1], "body")


async def test_a_sync_steps_trace_has_its_own_frames_alone():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(cause_and_note)

    async with World() as world:
        closed = await world.run(workflow)
    files = [line for line in closed.error["StackTrace"] if line.lstrip().startswith("File")]
    assert files and all(__file__ in line for line in files)


def test_a_trace_shows_each_line_without_markers_and_a_recursion_once():
    def countdown(left):
        return countdown(left - 1) if left else [][left]

    with pytest.raises(IndexError) as caught:
        countdown(12)
    trace = trace_of(caught.value)
    assert not any("^" in line for line in trace)
    assert sum("in countdown" in line for line in trace) < 12
    assert "return countdown(left - 1) if left else [][left]" in trace[-2]
    assert "[Previous line repeated" in trace[-1]


def test_what_was_handled_is_told_unless_it_is_suppressed():
    def shown(suppressed):
        try:
            try:
                raise KeyError("sofa")
            except KeyError:
                if suppressed:
                    raise OutOfStock from None
                raise OutOfStock
        except OutOfStock as error:
            return trace_of(error)

    assert "raised while handling KeyError: 'sofa'\n" in shown(suppressed=False)
    assert not any("KeyError" in line for line in shown(suppressed=True))


def test_a_chain_of_ten_thousand_and_a_chain_that_bites_its_tail_end():
    error = last = OutOfStock("first")
    for n in range(10_000):
        error = raised(CardDeclined(n), error)
    assert "and more errors, which are not shown\n" in trace_of(error)
    last.__cause__ = error
    assert len(trace_of(error)) < 100
    one, other = OutOfStock("one"), OutOfStock("other")
    one.__cause__, other.__cause__ = other, one
    assert trace_of(one) == [f"caused by {HERE}.OutOfStock: other\n"]


def test_of_a_deep_recursion_the_innermost_frames_are_told():
    def dig(depth):
        return dig(depth + 1)

    with pytest.raises(RecursionError) as caught:
        dig(0)
    assert 1 <= len(trace_of(caught.value)) <= 31


def test_the_error_of_an_operation_as_a_cause_is_told_with_its_place_and_trace():
    failed = StepError("sofa", "shop.OutOfStock", None, ("  File shop.py\n",), "abc", "reserve")
    trace = trace_of(raised(CardDeclined("no"), failed))
    assert trace[-3:] == [
        "caused by shop.OutOfStock: sofa\n",
        "StepError: operation 'reserve', id abc\n",
        "  File shop.py\n",
    ]


def test_frames_of_the_package_are_told_if_there_are_no_others():
    def no_frame_of_ours():
        namespace = {"__name__": "durable_async._engine"}
        exec("def f():\n    raise AssertionError('a bug')", namespace)
        return namespace["f"]

    with pytest.raises(AssertionError) as caught:
        no_frame_of_ours()()
    alone = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert "in f" in trace_of(alone)[-1] and len(trace_of(alone)) == 1
    assert traceback.format_tb(alone.__traceback__)


@given(st.lists(st.text(max_size=40), max_size=5), st.text(st.characters(exclude_characters="\n")))
def test_the_innermost_operation_is_read_from_a_trace(lines, name):
    inner = StepError("m", None, None, tuple(f"  {line}" for line in lines), "1" * 64, name)
    outer = StepError("m", None, None, tuple(trace_of(inner)), "2" * 64, None)
    assert place_of(trace_of(outer)) == ("1" * 64, name)
    assert place_of(trace_of(StepError("m", None, None, tuple(lines)))) == (None, None) or lines


# --- who hears of it ---


async def reserve():
    raise OutOfStock("sofa")


async def charge():
    raise CardDeclined("sofa")


@durable_execution
async def order(event, ctx):
    async def pay(ctx):
        await ctx.step(charge)

    if event["paid"]:
        await ctx.run_in_child_context(pay)
    await ctx.step(reserve)


async def outcome(service, event, **how):
    with pytest.raises(ExecutionFailedError) as caught:
        await (await service.start(order, event, **how)).result()
    return caught.value


async def test_whoever_waits_for_an_execution_is_told_the_type_and_the_operation_that_failed():
    async with DurableService() as service:
        service.register(order)
        stock, card = await outcome(service, {"paid": False}, name="o-1"), await outcome(service, {"paid": True})
    assert (stock.error_type, stock.operation_name, stock.message) == (f"{HERE}.OutOfStock", "reserve", "sofa")
    assert (card.error_type, card.operation_name, card.message) == (f"{HERE}.CardDeclined", "charge", "sofa")
    assert stock.operation_id and stock.operation_id != card.operation_id
    assert str(stock) == f"order/o-1: operation 'reserve': {HERE}.OutOfStock: sofa"


async def test_an_error_that_no_operation_raised_names_none():
    @durable_execution
    async def bare(event, ctx):
        raise OutOfStock("sofa")

    async with DurableService() as service:
        service.register(bare)
        with pytest.raises(ExecutionFailedError) as caught:
            await (await service.start(bare, {}, name="b-1")).result()
    assert (caught.value.operation_name, caught.value.operation_id) == (None, None)
    assert str(caught.value) == f"bare/b-1: {HERE}.OutOfStock: sofa"


async def test_a_context_that_failed_since_a_step_in_it_did_names_the_type_of_the_steps_error():
    @durable_execution
    async def workflow(event, ctx):
        async def child(ctx):
            await ctx.step(reserve)

        batch = await ctx.map(lambda ctx, item: child(ctx), [1])
        return [error.error_type for error in batch.errors()]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [f"{HERE}.OutOfStock"]


# --- what the messages say ---


def test_a_mismatch_tells_first_what_was_expected_then_what_was_asked_for_then_what_to_do():
    error = NonDeterminismError(
        "1f2e", OperationLabel("STEP", "Step", "quote north"), OperationLabel("STEP", "Step", "audit")
    )
    text = str(error)
    places = [
        text.index(part) for part in ("Step 'quote north'", "operation 1f2e", "Step 'audit'", "publish a version")
    ]
    assert places == sorted(places) and text.startswith("expected Step 'quote north'")
    assert "ctx.patched" in text


@attrs.frozen
class Coins:
    cents: int = attrs.field(validator=attrs.validators.lt(5))  # which no schema of the type says


async def test_an_answer_that_does_not_fit_names_its_callback_the_place_and_what_to_do():
    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(returns=Coins, name="approval")
        ids.put_nowait(callback.callback_id)
        return await callback.result()

    ids = asyncio.Queue()
    async with DurableService() as service:
        service.register(workflow)
        execution = await service.start(workflow, {})
        callback_id = await ids.get()
        with pytest.raises(ApiError, match=r"\$\.cents must be integer, and is string\. The callback stays open"):
            await service.succeed_callback(callback_id, {"cents": "HUNTER2"})
        await service.succeed_callback(callback_id, {"cents": 5})
        with pytest.raises(ExecutionFailedError) as caught:
            await execution.result()
    assert "the answer to Callback 'approval': cannot be read as" in caught.value.message
    assert "cents" in caught.value.message and "make another callback" in caught.value.message


class Confirmed(pydantic.BaseModel):
    code: str = pydantic.Field(max_length=3)


async def test_what_a_caller_sent_is_not_logged_when_it_cannot_be_read(caplog):
    @durable_execution
    async def workflow(event: Confirmed, ctx):
        pass

    caplog.set_level("INFO")
    async with DurableService() as service:
        service.register(workflow)
        with pytest.raises(ExecutionFailedError) as caught:
            await (await service.start("workflow", {"code": "HUNTER2"})).result()
    assert "at most 3 characters" in caught.value.message and "EventError" in caplog.text
    assert "HUNTER2" not in caplog.text and "HUNTER2" not in "".join(caught.value.stack_trace)


async def test_the_log_of_a_failure_shows_the_users_frames_and_no_others(caplog):
    def reserve():
        raise LookupError("sofa")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(reserve)
        except StepError as error:
            await ctx.wait(timedelta(hours=1))  # so that the error comes from the record when the workflow fails
            raise error

    async with World() as world:
        await world.run(workflow)
    (logged,) = [record for record in caplog.records if record.name == "durable_async"]
    text = logging.Formatter("%(message)s").format(logged)
    head, kind, *frames = text.splitlines()
    assert head.endswith(" failed") and kind == "LookupError: sofa"
    assert [line.partition(", in ")[2] for line in frames if line.startswith("  File")] == ["workflow"] * 2 + [
        "reserve"
    ]
    assert "StepError: operation 'reserve'" in text and "/durable_async/" not in text
    assert logged.exc_info[1].error_type == "LookupError"  # for handlers that read the exception itself
