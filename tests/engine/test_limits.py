"""The engine's tunables are one value, which a handler takes."""

import attrs
import pytest

from durable_async import EngineLimits, durable_execution


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(EngineLimits)])
def test_a_negative_limit_is_refused(name):
    with pytest.raises(ValueError, match=name):
        EngineLimits(**{name: -1})


@pytest.mark.parametrize("name", ["ask_again", "ask_again_max", "batch_starts"])
def test_a_limit_that_would_go_round_without_end_is_refused(name):
    with pytest.raises(ValueError, match=name):
        EngineLimits(**{name: 0})


@pytest.mark.parametrize("limits", [EngineLimits, None, 5.0])
def test_a_handler_takes_no_other_limits(limits):
    with pytest.raises(TypeError, match=r"limits must be EngineLimits\(\.\.\.\)"):

        @durable_execution(limits=limits)
        async def workflow(event, ctx): ...
