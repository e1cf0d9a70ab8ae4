"""What is printed is one line, moves no cursor, and means the same."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async.cli import text

anything = st.text(st.characters(codec=None, exclude_categories=[]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | anything, lambda v: st.lists(v) | st.dictionaries(anything, v)
)


def is_safe(shown):
    """No control character, no mark that turns the direction, no half of a surrogate pair."""
    return all(
        unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") and c not in "\u202d\u202e\u2066\u2067\u061c"
        for c in shown
    )


@given(anything)
def test_a_line_is_safe(value):
    assert is_safe(text.one_line(value))


@given(st.text(st.characters(categories=["L", "N", "P"])))
def test_what_is_harmless_stays_as_it_is(value):
    assert text.one_line(value) == value


@given(anything, st.integers(1, 50))
def test_what_is_shortened_fits(value, width):
    shown = text.shorten(value, width)
    assert len(shown) <= width
    assert is_safe(shown)
    assert shown == text.one_line(value) or shown.endswith("…")


@given(json_values)
def test_json_is_safe_and_means_the_same(value):
    shown = text.dump_json(value)
    assert is_safe(shown)
    assert json.loads(shown) == json.loads(json.dumps(value))


@given(anything)
def test_a_payload_is_shown_as_json_whatever_it_is(payload):
    json.loads(text.payload_as_json(payload))


def test_numbers_of_a_payload_keep_their_digits():
    assert text.payload_as_json("[1.10, 12345678901234567890]") == "[1.10, 12345678901234567890]"
    assert text.payload_as_json(None) == "null"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.0124, "12ms"),
        (0.9999, "999ms"),
        (1, "1s"),
        (3.47, "3.4s"),
        (59.99, "59.9s"),
        (60, "1m00s"),
        (125.9, "2m05s"),
        (3_600, "1h00m"),
        (27_000, "7h30m"),
        (86_400, "1d00h"),
        (366 * 86_400, "366d00h"),
    ],
)
def test_a_duration(seconds, shown):
    assert text.duration(seconds) == shown


def test_times_are_of_this_place(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    try:
        assert text.local_time(1_700_000_000.25) == "2023-11-14T23:13:20.250+01:00"
        answer = {"StartTimestamp": 1_700_000_000, "Details": [{"EndTimestamp": 0.5}], "Name": "Timestamp"}
        assert text.with_local_times(answer) == {
            "StartTimestamp": "2023-11-14T23:13:20.000+01:00",
            "Details": [{"EndTimestamp": "1970-01-01T01:00:00.500+01:00"}],
            "Name": "Timestamp",
        }
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ({"ErrorType": "shop.errors.OrderError", "ErrorMessage": "no such order"}, "OrderError: no such order"),
        ({"ErrorMessage": "no such order"}, "no such order"),
        ({"ErrorType": "OrderError"}, "OrderError"),
        ({}, ""),
        (None, ""),
    ],
)
def test_an_error_in_a_line(error, shown):
    assert text.error_line(error) == shown
