"""The event as the workflow gets it: JSON from outside, read as the type that its parameter declares."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import attrs
import pytest

from durable_async import durable_execution

from .remote import RemoteWorld


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@attrs.frozen
class Item:
    name: str
    price: Decimal
    size: Size = Size.SMALL


@attrs.frozen
class Order:
    id: int
    items: tuple[Item, ...] = ()


@dataclass
class Parcel:
    weight: float
    labels: list[str] = field(default_factory=list)
    content: Item | None = None


class Address(TypedDict):
    street: str
    number: NotRequired[int]


def without_payload(envelope):
    (execution,) = envelope["InitialExecutionState"]["Operations"]
    execution["ExecutionDetails"] = {}
    return envelope


def without_details(envelope):
    (execution,) = envelope["InitialExecutionState"]["Operations"]
    del execution["ExecutionDetails"]
    return envelope


def with_payload(text):
    def edit(envelope):
        (execution,) = envelope["InitialExecutionState"]["Operations"]
        execution["ExecutionDetails"]["InputPayload"] = text
        return envelope

    return edit


def as_it_is(envelope):
    return envelope


async def event_of(declared, payload, edit=as_it_is):
    """What the workflow got, and how its execution ended."""
    got = []

    async def workflow(event, ctx):
        got.append(event)

    if declared is not None:
        workflow.__annotations__["event"] = declared
    async with RemoteWorld(edit=edit) as world:
        closed = await world.run(durable_execution(workflow), payload)
    return got, closed


BOOK = b'{"id": 17, "items": [{"name": "b\xc3\xbccher", "price": "12.50", "size": "large"}, {"name": "pen", "price": "1"}]}'


@pytest.mark.parametrize(
    ("declared", "payload", "event"),
    [
        pytest.param(
            Order,
            BOOK,
            Order(17, (Item("bücher", Decimal("12.50"), Size.LARGE), Item("pen", Decimal(1)))),
            id="an attrs class",
        ),
        pytest.param(
            Parcel,
            b'{"weight": 2, "content": {"name": "pen", "price": "1"}}',
            Parcel(2.0, [], Item("pen", Decimal(1))),
            id="a dataclass",
        ),
        pytest.param(Address, b'{"street": "Hauptstr."}', {"street": "Hauptstr."}, id="a TypedDict"),
        pytest.param(dict, BOOK, json.loads(BOOK), id="a dict"),
        pytest.param(dict[str, timedelta], b'{"a": "PT5S"}', {"a": timedelta(seconds=5)}, id="a dict of types"),
        pytest.param(list[Item], b'[{"name": "pen", "price": "1"}]', [Item("pen", Decimal(1))], id="a list"),
        pytest.param(Order | None, b"null", None, id="null"),
        pytest.param(int, b"17", 17, id="a number"),
        pytest.param(Any, BOOK, json.loads(BOOK), id="anything"),
        pytest.param(None, BOOK, json.loads(BOOK), id="no annotation"),
        pytest.param(None, b"[1, null]", [1, None], id="no annotation, a list"),
        pytest.param(None, b"", {}, id="no annotation, an empty payload"),
    ],
)
async def test_the_event_is_of_the_type_that_is_declared(declared, payload, event):
    got, closed = await event_of(declared, payload)
    assert closed.status == "SUCCEEDED", closed.error
    assert got == [event]
    assert type(got[0]) is type(event)


@attrs.frozen
class Nothing:
    limit: int = 10


@pytest.mark.parametrize("edit", [without_payload, without_details, with_payload(""), with_payload(None)])
@pytest.mark.parametrize(("declared", "event"), [(None, {}), (dict, {}), (Nothing, Nothing())])
async def test_an_absent_payload_is_an_empty_object(edit, declared, event):
    got, closed = await event_of(declared, b'{"ignored": true}', edit)
    assert closed.status == "SUCCEEDED", closed.error
    assert got == [event]


@pytest.mark.parametrize(
    ("declared", "payload", "edit", "message"),
    [
        pytest.param(Order, b'{"items": []}', as_it_is, "cannot be read as Order: $.id: is missing", id="a member"),
        pytest.param(
            Order,
            b'{"id": "x"}',
            as_it_is,
            "cannot be read as Order: $.id: expected int, found a string",
            id="no number",
        ),
        pytest.param(
            Order,
            b'{"id": 1, "items": [{"name": "pen", "price": "1", "size": "huge"}]}',
            as_it_is,
            "cannot be read as Order: $.items[0].size: 'huge' is not a valid Size",
            id="deep inside",
        ),
        pytest.param(
            Order, b"[]", as_it_is, "cannot be read as Order: $: expected Order, found an array", id="no object"
        ),
        pytest.param(
            Parcel,
            b'{"weight": null}',
            as_it_is,
            "cannot be read as Parcel: $.weight: expected float, found null",
            id="null",
        ),
        pytest.param(Address, b"{}", as_it_is, "cannot be read as Address: $.street: is missing", id="a key"),
        pytest.param(
            dict, b"17", as_it_is, "cannot be read as dict: $: expected dict, found a whole number", id="no dict"
        ),
        pytest.param(
            dict,
            b"{}",
            with_payload("{half"),
            "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            id="no JSON",
        ),
    ],
)
async def test_an_event_of_another_shape_fails_the_execution_and_says_where(declared, payload, edit, message):
    got, closed = await event_of(declared, payload, edit)
    assert got == []
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "durable_async.errors.EventError"
    assert closed.error["ErrorMessage"] == f"the execution's input: {message}"
