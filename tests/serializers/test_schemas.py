"""The JSON Schema of a type, and what fits it."""

import json
import typing
from enum import Enum
from typing import Any, Literal, NotRequired, TypedDict

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from durable_async.errors import SerializationError
from durable_async.serializers._json.schema import schema_of
from durable_async.service.model.schema import misfit
from tests.serializers.test_serializers import (
    Access,
    Box,
    Card,
    Item,
    Order,
    Point,
    Tree,
    json_values,
    read,
    typed_values,
    union_members,
    written,
)


def some_type(data):
    if data.draw(st.booleans()):
        return data.draw(typed_values())
    chosen = data.draw(st.lists(st.sampled_from(range(len(union_members))), min_size=2, max_size=4, unique=True))
    members = [union_members[i] for i in chosen]
    kind = typing.Union[tuple(member for member, _ in members)]  # noqa: UP007 - made of a tuple
    return kind, st.one_of([values for _, values in members])


def fits(kind, text):
    schema = json.loads(json.dumps(schema_of(kind)))
    return misfit(schema, json.loads(text)) is None


@given(st.data())
def test_what_is_written_for_a_type_fits_its_schema(data):
    kind, values = some_type(data)
    assert fits(kind, written(data.draw(values), kind))


@given(st.data())
def test_what_the_schema_refuses_is_not_read_as_the_type(data):
    kind, _ = some_type(data)
    text = json.dumps(data.draw(json_values))
    assume(not fits(kind, text))
    with pytest.raises(SerializationError):
        read(text, kind)


class Decision(BaseModel):
    approved: bool
    by: str = ""


class Aliased(BaseModel):
    approved: bool = Field(alias="ok")


class Lenient(Enum):
    YES = "yes"

    @classmethod
    def _missing_(cls, value):
        return cls.YES


class Answer(TypedDict):
    approved: Literal["yes", "no"]
    reason: NotRequired[str]


@attrs.frozen
class Counted:
    count: int
    doubled: int = attrs.field(init=False, default=0)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Decision, '{"approved": true}', "{}"),
        (Aliased, '{"ok": true}', None),
        (Lenient, '"anything"', None),
        (Answer, '{"approved": "yes"}', '{"approved": "maybe"}'),
        (Answer, '{"approved": "yes", "more": 1}', '{"reason": "none"}'),
        (Counted, '{"count": 1}', "{}"),
        (Item, '{"name": "a", "price": 1.5}', '{"name": "a", "price": null}'),
        (Item, '{"name": "a", "price": "1", "tags": ["x"]}', '{"name": "a", "price": "1", "tags": "x"}'),
        (Order, '{"items": []}', '{"items": [1]}'),
        (Tree, '{"value": 1, "children": [{"value": 2}]}', '{"value": 1, "children": {}}'),
        (Point, '[1, "2024-01-01"]', "{}"),
        (Access, "3", '"READ"'),
        (Box[int], '{"content": 1}', "[]"),
        (dict[str, int], '{"a": 1}', '{"a": "b"}'),
        (tuple[int, str], '[1, "a"]', '[1, "a", 2]'),
        (list[Card] | None, "null", '[{"number": 5}]'),
        (list[Any], "[1, {}]", "{}"),
        (float, "1", "null"),
        (int, "3.0", "3.5"),
        (Any, "null", None),
        (None, "null", "0"),
    ],
)
def test_a_type_says_what_fits(kind, good, bad):
    read(good, kind)
    assert fits(kind, good)
    assert bad is None or not fits(kind, bad)


def test_a_misfit_names_the_place_and_never_the_value():
    schema = schema_of(dict[str, list[Item]])
    wrong = misfit(schema, {"a": [{"name": "secret", "price": []}]})
    assert wrong == "$.a[0].price must be string or number, and is array"
