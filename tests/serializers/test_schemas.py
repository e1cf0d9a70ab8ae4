"""The JSON Schema of a type, and what fits it."""

import json
import typing
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    field_validator,
    model_validator,
)

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


sent = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.5, "1", "1.5", "plan", "pro", "yes", "2026-01-01", ""]),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.sampled_from(["a", "approved"]), each, max_size=2),
    max_leaves=3,
)


@given(st.data())
def test_what_the_schema_of_a_model_refuses_pydantic_does_not_read(data):
    model = data.draw(st.sampled_from([Change, Converted, Numbers, Tags, Whole, Aliased]))
    names = ["ok", *model.model_fields]
    text = json.dumps(data.draw(sent | st.dictionaries(st.sampled_from(names), sent)))
    assume(not fits(model, text))
    with pytest.raises(ValidationError):
        model.model_validate_json(text)


class Decision(BaseModel):
    approved: bool
    by: str = ""


class Plan(Enum):
    BASIC = "basic"
    PRO = "pro"


class Change(BaseModel):
    kind: Literal["cancel", "plan"]
    plan: Plan | None = None
    seats: Annotated[int, Field(gt=0)] = 1
    prices: dict[str, Decimal] = {}
    notes: list[str] = []
    by: Decision | None = None
    at: datetime | None = None


class Tags(RootModel[list[str]]):
    pass


class Converted(BaseModel):
    seats: int
    name: Annotated[str, BeforeValidator(str)]
    tags: list[Annotated[str, BeforeValidator(str)]] = []
    number: Literal[1] = 1

    @field_validator("seats", mode="before")
    @classmethod
    def _first(cls, seats):
        return seats[0] if isinstance(seats, list) else seats

    @field_validator("number")
    @classmethod
    def _checked(cls, number):
        return number


class Whole(BaseModel):
    seats: int

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value):
        return {"seats": value} if isinstance(value, int) else value


class Numbers(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    name: str


class Aliased(BaseModel):
    approved: bool = Field(alias="ok")
    by: str = ""


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
        (Change, '{"kind": "cancel"}', '{"kind": "upgrade"}'),
        (Change, '{"kind": "plan", "plan": "pro", "seats": "3"}', '{"kind": "plan", "plan": "big"}'),
        (Change, '{"kind": "plan", "seats": 3.0, "prices": {"a": "1.5"}}', '{"kind": "plan", "seats": null}'),
        (Change, '{"kind": "plan", "notes": ["a"], "by": null}', '{"kind": "plan", "notes": "a"}'),
        (Change, '{"kind": "plan", "by": {"approved": "yes"}}', '{"kind": "plan", "by": {}}'),
        (Change, '{"kind": "plan", "at": 1767225600}', '{"kind": "plan", "at": []}'),
        (list[Change], '[{"kind": "plan"}]', '[{"kind": 1}]'),
        (Tags, '["a"]', '{"root": ["a"]}'),
        (Tags | None, "null", "[1]"),
        (Converted, '{"seats": [1], "name": 1, "tags": [1], "number": true}', '{"seats": 1}'),
        (Whole, "1", None),
        (Numbers, '{"name": 1}', '{"name": []}'),
        (Aliased, '{"ok": true}', '{"ok": true, "by": 1}'),
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
