"""Configurations are checked where they are made."""

import pickle
from copy import copy
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import durable_async
from durable_async import ChildConfig, EngineLimits, MapConfig
from durable_async._durations import duration_seconds
from durable_async._options import Options
from durable_async._wire.limits import DELAY_SECONDS
from durable_async.config import StepConfig, StepSemantics
from durable_async.retry import RetryDecision, RetryStrategy, decide
from durable_async.serializers import JsonSerializer
from tests.ids import stable


class OfMine:
    def should_retry(self, error, attempt):
        return RetryDecision.do_not_retry()


def test_a_step_without_a_config_is_attempted_once():
    config = StepConfig()
    assert config.semantics is StepSemantics.AT_LEAST_ONCE_PER_RETRY
    assert decide(config.retry_strategy, OSError(), 1, timedelta(0)) == RetryDecision.do_not_retry()
    assert config.serializer is None
    assert config.timeout is None


@pytest.mark.parametrize(
    "options",
    [
        {"retry_strategy": RetryStrategy.default()},
        {"retry_strategy": OfMine()},
        {"retry_strategy": lambda error, attempt: RetryDecision.do_not_retry()},
        {"semantics": "AT_MOST_ONCE_PER_RETRY"},
        {"serializer": JsonSerializer()},
        {"timeout": timedelta(milliseconds=1)},
    ],
    ids=stable,
)
def test_what_a_step_may_be_configured_with(options):
    config = StepConfig(**options)
    assert {name: getattr(config, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"retry_strategy": 3}, TypeError, "retry_strategy must be a RetryStrategy or a function .*, not 3"),
        ({"retry_strategy": OfMine}, TypeError, "not the class OfMine: call it"),
        ({"semantics": "TWICE"}, ValueError, "TWICE"),
        ({"serializer": object()}, TypeError, "serializer must be an object with serialize and deserialize"),
        ({"serializer": JsonSerializer}, TypeError, "serializer"),
        ({"timeout": timedelta(0)}, ValueError, "timeout must be longer than zero"),
        ({"timeout": timedelta(seconds=-1)}, ValueError, "timeout"),
        ({"timeout": 30}, TypeError, r"timeout must be a datetime\.timedelta, not 30"),
    ],
    ids=stable,
)
def test_what_it_may_not(options, error, message):
    with pytest.raises(error, match=message):
        StepConfig(**options)


def test_a_config_is_a_frozen_value():
    assert StepConfig(timeout=timedelta(1)) == StepConfig(timeout=timedelta(1))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        StepConfig().timeout = None


PUBLIC = [getattr(durable_async, name) for name in durable_async.__all__]
CONFIGS = [each for each in PUBLIC if isinstance(each, type) and issubclass(each, Options)]


def test_all_configs_are_among_those_that_are_tried():
    assert len(CONFIGS) == 10


@pytest.mark.parametrize("config", CONFIGS)
def test_configs_of_the_same_class_and_options_are_one_value(config):
    assert config() == config()
    assert len({config(), config(), attrs.evolve(config()), copy(config()), pickle.loads(pickle.dumps(config()))}) == 1
    assert {config() == other() for other in CONFIGS if other is not config} == {False}
    assert config() != ()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(config(), attrs.fields(config)[0].name, None)


def test_each_option_counts():
    changed = [attrs.evolve(EngineLimits(), **{field.name: 77}) for field in attrs.fields(EngineLimits)]
    assert len({EngineLimits(), *changed}) == 1 + len(changed)
    assert MapConfig(max_concurrency=1) != MapConfig()
    assert MapConfig(item_namer=lambda item, index: item) != MapConfig()


def test_a_config_shows_its_options():
    assert repr(ChildConfig(virtual=True)) == "ChildConfig(serializer=None, summary=None, virtual=True)"
    assert repr(EngineLimits(clean_up=1.5)).startswith("EngineLimits(clean_up=1.5, show_start=0.05, ")


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (timedelta(microseconds=1), 1),
        (timedelta(seconds=1), 1),
        (timedelta(seconds=1, microseconds=1), 2),
        (timedelta(hours=1), 3600),
        (timedelta(seconds=DELAY_SECONDS), DELAY_SECONDS),
    ],
    ids=stable,
)
def test_a_duration_is_whole_seconds_rounded_up(duration, seconds):
    assert duration_seconds(duration, what="the wait") == seconds


@pytest.mark.parametrize(
    ("duration", "error", "message"),
    [
        (timedelta(0), ValueError, "the wait must be longer than zero, not 0:00:00"),
        (timedelta(seconds=-1), ValueError, "the wait must be longer than zero"),
        (timedelta(seconds=DELAY_SECONDS, microseconds=1), ValueError, "the wait must be at most 366 days"),
        (30, TypeError, r"the wait must be a datetime\.timedelta, not 30"),
        (None, TypeError, "the wait"),
    ],
    ids=stable,
)
def test_durations_that_cannot_be_waited_for(duration, error, message):
    with pytest.raises(error, match=message):
        duration_seconds(duration, what="the wait")


@given(st.timedeltas(timedelta(microseconds=1), timedelta(seconds=DELAY_SECONDS)))
def test_a_duration_is_never_shortened_and_lengthened_by_less_than_a_second(duration):
    rounded = timedelta(seconds=duration_seconds(duration, what="it"))
    assert duration <= rounded < duration + timedelta(seconds=1)
