"""Retry and wait strategies: every rule a row, every bound a property."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import retry, wait_strategy
from durable_async._backoff import Backoff
from durable_async._wire.limits import DELAY_SECONDS
from durable_async.errors import NonRetryableError, RetryAfterError
from durable_async.retry import JitterStrategy, RetryDecision, RetryStrategy
from durable_async.wait_strategy import WaitDecision, WaitStrategy

NO_TIME = timedelta(0)
STOP = RetryDecision.do_not_retry()


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def after(number: float) -> RetryDecision:
    return RetryDecision.retry_after(seconds(number))


def low(start: float, end: float) -> float:
    return start


def high(start: float, end: float) -> float:
    return end


# --- decisions ---


@pytest.mark.parametrize(
    ("delay", "on_the_wire"),
    [
        pytest.param(timedelta(0), 1, id="zero"),
        pytest.param(timedelta(microseconds=1), 1, id="a moment"),
        pytest.param(timedelta(seconds=1, microseconds=1), 2, id="rounded up"),
        pytest.param(timedelta(seconds=7), 7, id="whole"),
        pytest.param(timedelta(seconds=-5), 1, id="negative"),
        pytest.param(timedelta(days=4000), DELAY_SECONDS, id="longer than the service waits"),
    ],
)
def test_a_delay_is_whole_seconds_on_the_wire(delay, on_the_wire):
    assert RetryDecision.retry_after(delay).delay_seconds == on_the_wire
    assert WaitDecision.continue_after(delay).delay_seconds == on_the_wire


def test_a_decision_is_a_value():
    assert RetryDecision.retry_after(seconds(3)) == RetryDecision(should_retry=True, delay=seconds(3))
    assert RetryDecision.do_not_retry() == RetryDecision(should_retry=False)
    assert STOP.delay == timedelta(0)
    with pytest.raises(TypeError, match="delay"):
        RetryDecision.retry_after(3)


# --- delays ---


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        pytest.param(
            RetryStrategy.exponential(max_attempts=9, max_delay=seconds(60), jitter=JitterStrategy.NONE),
            [5, 10, 20, 40, 60, 60, 60, 60, None],
            id="exponential",
        ),
        pytest.param(
            RetryStrategy.exponential(
                max_attempts=4, initial_delay=seconds(1), backoff_rate=1.5, jitter=JitterStrategy.NONE
            ),
            [1, 2, 3, None],
            id="rounded up",
        ),
        pytest.param(
            RetryStrategy.linear(max_delay=seconds(4), jitter=JitterStrategy.NONE), [1, 2, 3, 4, 4, None], id="linear"
        ),
        pytest.param(
            RetryStrategy.linear(
                initial_delay=seconds(0.1), increment=seconds(0.1), max_attempts=40, jitter=JitterStrategy.NONE
            ),
            [1] * 10 + [2] * 10 + [3] * 10 + [4] * 9 + [None],
            id="tenths add up exactly",
        ),
        pytest.param(RetryStrategy.fixed(delay=seconds(7), max_attempts=3), [7, 7, None], id="fixed"),
        pytest.param(
            RetryStrategy.fixed(delay=seconds(0.2), max_attempts=2), [1, None], id="fixed, less than a second"
        ),
        pytest.param(RetryStrategy.none(), [None], id="none"),
        pytest.param(
            RetryStrategy.exponential(
                max_attempts=4, initial_delay=seconds(8), jitter=JitterStrategy.HALF, uniform=low
            ),
            [4, 8, 16, None],
            id="half jitter at its least",
        ),
        pytest.param(
            RetryStrategy.exponential(
                max_attempts=4, initial_delay=seconds(8), jitter=JitterStrategy.HALF, uniform=high
            ),
            [8, 16, 32, None],
            id="half jitter at its most",
        ),
        pytest.param(
            RetryStrategy.linear(
                max_attempts=3,
                initial_delay=seconds(8),
                increment=seconds(4),
                jitter=JitterStrategy.HALF,
                uniform=low,
            ),
            [4, 6, None],
            id="linear, half jitter at its least",
        ),
        pytest.param(
            RetryStrategy.linear(max_attempts=3, increment=NO_TIME, uniform=high), [1, 1, None], id="linear, no growth"
        ),
        pytest.param(
            RetryStrategy.fixed(delay=seconds(8), max_attempts=3, jitter=JitterStrategy.HALF, uniform=low),
            [4, 4, None],
            id="fixed, half jitter at its least",
        ),
        pytest.param(
            RetryStrategy.exponential(max_attempts=3, uniform=low), [1, 1, None], id="full jitter at its least"
        ),
        pytest.param(RetryStrategy.exponential(uniform=high), [5, 10, None], id="full jitter at its most"),
    ],
)
def test_the_delays_of_a_strategy(strategy, delays):
    for attempt, delay in enumerate(delays, 1):
        assert strategy.should_retry(OSError(), attempt) == (STOP if delay is None else after(delay))
    assert strategy.should_retry(OSError(), len(delays) + 1) == STOP


@pytest.mark.parametrize(
    ("preset", "same_as"),
    [
        (
            RetryStrategy.default(),
            {"max_attempts": 6, "initial_delay": seconds(5), "max_delay": seconds(60), "jitter": JitterStrategy.FULL},
        ),
        (
            RetryStrategy.transient(),
            {"max_attempts": 3, "initial_delay": seconds(1), "max_delay": seconds(5), "jitter": JitterStrategy.HALF},
        ),
        (RetryStrategy.none(), {"max_attempts": 1}),
    ],
    ids=["default", "transient", "none"],
)
def test_the_presets(preset, same_as):
    assert preset == RetryStrategy.exponential(backoff_rate=2.0, **same_as)


durations = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=300))


@st.composite
def backoffs(draw, jitter=st.sampled_from(JitterStrategy)):
    initial, cap = sorted((draw(durations), draw(durations)))
    options = {
        "initial_delay": initial,
        "max_delay": cap,
        "jitter": draw(jitter),
        "uniform": draw(st.randoms(use_true_random=False)).uniform,
    }
    if draw(st.booleans()):
        return Backoff.linear(increment=draw(st.timedeltas(timedelta(0), timedelta(days=300))), **options)
    return Backoff.exponential(backoff_rate=draw(st.floats(1, 1e6)), **options)


attempts = st.integers(1, 10_000)


@given(backoffs(), attempts)
def test_a_delay_is_whole_seconds_between_one_and_the_cap(backoff, attempt):
    delay = backoff.delay(attempt)
    assert not delay.microseconds
    assert seconds(1) <= delay <= max(seconds(1), seconds(backoff.cap))


@given(backoffs(st.just(JitterStrategy.NONE)), attempts)
def test_without_jitter_no_delay_is_shorter_than_the_one_before(backoff, attempt):
    assert backoff.delay(attempt) <= backoff.delay(attempt + 1)


@given(backoffs(st.just(JitterStrategy.NONE)), attempts, st.randoms(use_true_random=False))
def test_jitter_takes_away_at_most_what_its_name_says(backoff, attempt, chance):
    def jittered(strategy):
        return Backoff(backoff.initial, backoff.cap, backoff.growth, strategy, chance.uniform).delay(attempt)

    whole = backoff.delay(attempt)
    assert whole / 2 - seconds(1) <= jittered(JitterStrategy.HALF) <= whole
    assert seconds(1) <= jittered(JitterStrategy.FULL) <= whole


@given(backoffs(), st.integers(1, 100), st.integers(1, 200))
def test_attempts_are_counted(backoff, limit, attempt):
    strategy = retry._Limited(limit, backoff)
    assert strategy.should_retry(OSError(), attempt).should_retry == (attempt < limit)


# --- which errors ---


class CardNetworkDown(ConnectionError):
    pass


class Declined(NonRetryableError, ConnectionError):
    pass


class Throttled(RetryAfterError, ConnectionError):
    pass


@pytest.mark.parametrize(
    ("filters", "error", "retried"),
    [
        pytest.param({}, KeyError(), True, id="no filter"),
        pytest.param({"retry_on": (ConnectionError,)}, ConnectionError(), True, id="type"),
        pytest.param({"retry_on": ConnectionError}, ConnectionError(), True, id="one type"),
        pytest.param({"retry_on": (ConnectionError,)}, CardNetworkDown(), True, id="subclass"),
        pytest.param({"retry_on": (CardNetworkDown,)}, ConnectionError(), False, id="base class"),
        pytest.param({"retry_on": [KeyError, ConnectionError]}, ConnectionError(), True, id="second type"),
        pytest.param({"retry_on_message": "time.?out"}, OSError("a timeout occurred"), True, id="text"),
        pytest.param({"retry_on_message": ["^busy", "429"]}, OSError("got 429"), True, id="second pattern"),
        pytest.param({"retry_on_message": "^busy"}, OSError("is busy"), False, id="other text"),
        pytest.param({"retry_on_message": re.compile("BUSY", re.IGNORECASE)}, OSError("busy"), True, id="compiled"),
        pytest.param({"retry_on": (KeyError,), "retry_on_message": "busy"}, KeyError("x"), True, id="both, type fits"),
        pytest.param(
            {"retry_on": (KeyError,), "retry_on_message": "busy"}, OSError("busy"), True, id="both, text fits"
        ),
        pytest.param({"retry_on": (KeyError,), "retry_on_message": "busy"}, OSError("x"), False, id="both, none fits"),
        pytest.param({"retry_on": ()}, OSError(), False, id="no type at all"),
        pytest.param({"retry_on_message": ()}, OSError(), False, id="no pattern at all"),
        pytest.param({"retry_on": (), "retry_on_message": "busy"}, OSError("busy"), True, id="no type, but a pattern"),
        pytest.param({}, NonRetryableError(), False, id="not retryable"),
        pytest.param({"retry_on": (ConnectionError,)}, Declined(), False, id="not retryable, though its type is"),
        pytest.param({"retry_on": (KeyError,)}, RetryAfterError(seconds(1)), True, id="asks to be retried"),
        pytest.param({"retry_on": ()}, Throttled(seconds(1)), True, id="asks to be retried, mixed in"),
        pytest.param(
            {"retry_on": ConnectionError},
            ExceptionGroup("", [ConnectionError(), CardNetworkDown()]),
            True,
            id="a group",
        ),
        pytest.param(
            {"retry_on": KeyError, "retry_on_message": "busy"},
            ExceptionGroup("", [KeyError(), ExceptionGroup("", [OSError("busy"), RetryAfterError(seconds(1))])]),
            True,
            id="a group in a group, each for a reason of its own",
        ),
        pytest.param(
            {"retry_on": ConnectionError},
            ExceptionGroup("", [ConnectionError(), KeyError()]),
            False,
            id="not all of it",
        ),
        pytest.param({"retry_on": ExceptionGroup}, ExceptionGroup("", [KeyError()]), True, id="any group"),
        pytest.param({}, ExceptionGroup("", [KeyError(), NonRetryableError()]), False, id="a group that must not"),
    ],
)
@pytest.mark.parametrize("make", [RetryStrategy.exponential, RetryStrategy.linear, RetryStrategy.fixed])
def test_which_errors_are_retried(make, filters, error, retried):
    assert make(**filters).should_retry(error, 1).should_retry is retried


@given(st.booleans(), st.booleans())
def test_either_filter_is_enough(type_fits, text_fits):
    error = (KeyError if type_fits else OSError)("busy" if text_fits else "idle")
    both = RetryStrategy.fixed(retry_on=KeyError, retry_on_message="busy")
    assert both.should_retry(error, 1).should_retry is (type_fits or text_fits)


@pytest.mark.parametrize(
    ("asked", "delay"),
    [pytest.param(2, 5, id="sooner"), pytest.param(30, 30, id="later"), pytest.param(1000, 1000, id="beyond the cap")],
)
def test_retry_after_delays_a_retry_but_never_hastens_it(asked, delay):
    strategy = RetryStrategy.exponential(jitter=JitterStrategy.NONE)
    assert strategy.should_retry(RetryAfterError(seconds(asked)), 1) == after(delay)
    assert strategy.should_retry(RetryAfterError(seconds(asked)), 3) == STOP


def test_a_group_is_retried_when_the_last_of_it_allows():
    error = ExceptionGroup("", [RetryAfterError(seconds(7)), ExceptionGroup("", [RetryAfterError(seconds(30))])])
    assert RetryStrategy.fixed(delay=seconds(5)).should_retry(error, 1) == after(30)


def test_a_retry_after_without_a_duration_is_told():
    with pytest.raises(TypeError, match=r"delay of a Throttled must be a datetime\.timedelta, not 30"):
        RetryStrategy.default().should_retry(Throttled(30), 1)


# --- the whole time ---


@pytest.mark.parametrize(
    ("elapsed", "error", "decision"),
    [
        pytest.param(0, OSError(), after(5), id="time left"),
        pytest.param(55, OSError(), after(5), id="just in time"),
        pytest.param(55.1, OSError(), STOP, id="it would begin too late"),
        pytest.param(100, OSError(), STOP, id="time is up"),
        pytest.param(30, RetryAfterError(seconds(31)), STOP, id="it asks for too late a time"),
    ],
)
def test_no_retry_begins_after_the_total_timeout(elapsed, error, decision):
    strategy = RetryStrategy.fixed(delay=seconds(5), total_timeout=seconds(60))
    assert retry.decide(strategy, error, 1, seconds(elapsed)) == decision


def test_asked_without_a_time_none_has_passed():
    strategy = RetryStrategy.fixed(delay=seconds(5), total_timeout=seconds(4))
    assert strategy.should_retry(OSError(), 1) == STOP


# --- strategies of one's own ---


class OfMine:
    def should_retry(self, error, attempt):
        return after(attempt)


class Inherited(RetryStrategy):
    def should_retry(self, error, attempt):
        return after(attempt)


class Timed(Inherited):
    def decide(self, error, attempt, elapsed):
        return RetryDecision.retry_after(elapsed)


@pytest.mark.parametrize(
    ("strategy", "decision"),
    [
        pytest.param(None, STOP, id="none"),
        pytest.param(lambda error, attempt: after(attempt), after(2), id="function"),
        pytest.param(RetryStrategy.from_callable(lambda error, attempt: after(attempt)), after(2), id="from_callable"),
        pytest.param(OfMine(), after(2), id="structural"),
        pytest.param(Inherited(), after(2), id="subclass"),
        pytest.param(Timed(), after(40), id="subclass that asks for the time"),
    ],
)
def test_every_kind_of_strategy_is_asked(strategy, decision):
    assert retry.decide(strategy, OSError(), 2, seconds(40)) == decision


def test_a_strategy_gets_the_error_itself():
    asked = []
    error = OSError()
    retry.decide(lambda *args: asked.append(args) or STOP, error, 3, NO_TIME)
    assert asked == [(error, 3)]


@pytest.mark.parametrize("answer", [None, True, 5, timedelta(5)])
def test_an_answer_that_is_no_decision_is_told(answer):
    def careless(error, attempt):
        return answer

    for strategy in (careless, RetryStrategy.from_callable(careless)):
        with pytest.raises(TypeError, match=r"careless.* must return a RetryDecision"):
            retry.decide(strategy, OSError(), 1, NO_TIME)


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt):
    with pytest.raises(ValueError, match="counted from 1"):
        retry.decide(RetryStrategy.default(), OSError(), attempt, NO_TIME)
    with pytest.raises(ValueError, match="counted from 1"):
        wait_strategy.decide(WaitStrategy.fixed(bool), 1, attempt)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_attempts": 0}, ValueError, "max_attempts .* at least 1, not 0"),
        ({"max_attempts": 2.5}, ValueError, "max_attempts"),
        ({"max_attempts": True}, ValueError, "max_attempts"),
        ({"initial_delay": timedelta(0)}, ValueError, "initial_delay must be longer than zero"),
        ({"retry_on": "ValueError"}, ValueError, "which 'ValueError' is not"),
        ({"initial_delay": 5}, TypeError, "initial_delay must be a datetime.timedelta, not 5"),
        ({"initial_delay": seconds(301)}, ValueError, "initial_delay .* longer than max_delay"),
        ({"max_delay": timedelta(days=367)}, ValueError, "max_delay must be at most 366 days"),
        ({"backoff_rate": 0.5}, ValueError, "backoff_rate"),
        ({"backoff_rate": float("inf")}, ValueError, "backoff_rate"),
        ({"backoff_rate": float("nan")}, ValueError, "backoff_rate"),
        ({"jitter": "some"}, ValueError, "some"),
        ({"retry_on": (int,)}, ValueError, "retry_on .*int"),
        ({"retry_on": (ConnectionError(),)}, ValueError, "retry_on"),
        ({"retry_on": (KeyboardInterrupt,)}, ValueError, "retry_on"),
        ({"retry_on_message": "("}, ValueError, "retry_on_message"),
        ({"total_timeout": seconds(-1)}, ValueError, "total_timeout"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_told_at_once(options, error, message):
    with pytest.raises(error, match=message):
        RetryStrategy.exponential(**options)


def test_other_factories_check_too():
    with pytest.raises(ValueError, match="increment must not be negative"):
        RetryStrategy.linear(increment=seconds(-1))
    with pytest.raises(ValueError, match="delay must be longer than zero"):
        RetryStrategy.fixed(delay=timedelta(0))
    with pytest.raises(TypeError, match=r"a function of \(error, attempt\)"):
        RetryStrategy.from_callable(3)


def test_strategies_are_values():
    strategy = RetryStrategy.exponential(retry_on=ConnectionError, retry_on_message=["busy"])
    assert strategy == RetryStrategy.exponential(retry_on=(ConnectionError,), retry_on_message=("busy",))
    assert "uniform" not in repr(strategy)


def test_the_default_jitter_is_random():
    delays = {RetryStrategy.exponential(initial_delay=seconds(200)).should_retry(OSError(), 1).delay for _ in range(50)}
    assert len(delays) > 5


# --- waiting for a condition ---


@pytest.mark.parametrize(
    ("strategy", "state", "attempt", "decision"),
    [
        pytest.param(WaitStrategy.fixed(bool), 0, 1, WaitDecision.stop(), id="met"),
        pytest.param(WaitStrategy.fixed(bool), 1, 1, WaitDecision.continue_after(seconds(5)), id="not met"),
        pytest.param(WaitStrategy.fixed(bool, max_attempts=3), 1, 3, WaitDecision.exhausted(), id="exhausted"),
        pytest.param(WaitStrategy.fixed(bool, max_attempts=3), 0, 3, WaitDecision.stop(), id="met at the last check"),
        pytest.param(
            WaitStrategy.exponential(bool, jitter=JitterStrategy.NONE),
            1,
            3,
            WaitDecision.continue_after(seconds(12)),
            id="exponential",
        ),
        pytest.param(WaitStrategy.exponential(bool), 1, 60, WaitDecision.exhausted(), id="60 checks by default"),
        pytest.param(
            WaitStrategy.linear(bool, jitter=JitterStrategy.NONE),
            1,
            3,
            WaitDecision.continue_after(seconds(15)),
            id="linear",
        ),
        pytest.param(
            WaitStrategy.from_callable(lambda state, attempt: WaitDecision.continue_after(seconds(state))),
            9,
            1,
            WaitDecision.continue_after(seconds(9)),
            id="from_callable",
        ),
        pytest.param(lambda state, attempt: WaitDecision.exhausted(), 9, 1, WaitDecision.exhausted(), id="function"),
    ],
)
def test_waiting(strategy, state, attempt, decision):
    assert wait_strategy.decide(strategy, state, attempt) == decision


@pytest.mark.parametrize("make", [WaitStrategy.exponential, WaitStrategy.linear, WaitStrategy.fixed])
def test_every_wait_strategy_checks_60_times_and_takes_its_jitter_from_where_it_is_told(make):
    strategy = make(bool, jitter=JitterStrategy.HALF, uniform=low)
    assert wait_strategy.decide(strategy, 1, 1) == WaitDecision.continue_after(seconds(3))  # half of 5, rounded up
    assert wait_strategy.decide(strategy, 1, 59).delay > NO_TIME
    assert wait_strategy.decide(strategy, 1, 60) == WaitDecision.exhausted()


def test_a_wait_strategy_must_decide():
    with pytest.raises(TypeError, match="must return a WaitDecision, but returned True"):
        wait_strategy.decide(lambda state, attempt: True, 1, 1)
