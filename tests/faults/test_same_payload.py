"""Events that are equal as JSON are the same payload: a start under a name finds what was started with them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import DurableContext, durable_execution
from durable_async._wire.text import is_same_json
from durable_async.embedded import DurableService
from durable_async.service import ApiError

SAME = [
    ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
    ('{"a": {"b": [1, {"d": 1, "c": 2}]}}', '{"a": {"b": [1, {"c": 2, "d": 1}]}}'),
    (" [1 ,2]\n", "[1,2]"),
    ("1", "1.0"),
    ("10", "1e1"),
    ("1.10", "1.1"),
    ("-0", "0.0"),
    ("1e400", "10E399"),
    ('"\\u00e9"', '"é"'),
    ('{"a": 1, "a": 2}', '{"a": 2}'),  # as everybody reads it
    ("{", "{"),
]
DIFFERENT = [
    ("1", "true"),
    ("0", "false"),
    ("[0]", "[false]"),
    ("null", "false"),
    ("1", '"1"'),
    ("[1, 2]", "[2, 1]"),
    ("{}", "[]"),
    ("[]", "[[]]"),
    ('{"a": null}', "{}"),
    ("12345678901234567.89", "12345678901234567.88"),
    ("9007199254740993", "9007199254740993.5"),
    ("1e400", "1e401"),
    ("1e99999999999999999999", '"1e99999999999999999999"'),
    ('"é"', '"e\\u0301"'),
    ("{", "{ "),
    ("[" * 100_000, "[" * 100_000 + " "),
]


@pytest.mark.parametrize(("text", "other"), SAME)
def test_texts_that_say_the_same(text, other):
    assert is_same_json(text, other)
    assert is_same_json(other, text)


@pytest.mark.parametrize(("text", "other"), DIFFERENT, ids=lambda text: text[:30])
def test_texts_that_say_something_else(text, other):
    assert not is_same_json(text, other)
    assert not is_same_json(other, text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=4),
    max_leaves=20,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(json_values, json_values)
def test_the_order_of_keys_and_white_space_say_nothing(value, other):
    text = json.dumps(value)
    assert is_same_json(text, json.dumps(shuffled(value), indent=1, ensure_ascii=False))
    if json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert is_same_json(text, json.dumps(other))
    elif value != other:  # Python's equality takes True for 1, and otherwise agrees
        assert not is_same_json(text, json.dumps(other))


@durable_execution
async def echo(event: Any, ctx: DurableContext) -> Any:
    return event


async def test_a_start_under_a_name_finds_the_execution_that_was_started_with_equal_json(tmp_path):
    for path in (None, tmp_path / "store.db"):
        async with DurableService(path) as service:
            service.register(echo)
            first = await service.start(echo, {"a": 1, "b": [2.0, {"d": None, "c": True}]}, name="one")
            for event in ({"b": [2, {"c": True, "d": None}], "a": 1.0}, {"a": 1, "b": [2.0, {"d": None, "c": True}]}):
                assert (await service.start(echo, event, name="one")).arn == first.arn
            with pytest.raises(ApiError, match="another payload"):
                await service.start(echo, {"a": True, "b": [2.0, {"d": None, "c": True}]}, name="one")
            description = await first.describe()
            assert description.input == '{"a": 1, "b": [2.0, {"d": null, "c": true}]}'
