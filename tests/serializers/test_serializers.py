"""The default serializer: what was written comes back, or is refused with its place."""

import asyncio
import copy
import dataclasses
import enum
import json
import pickle
import subprocess
import sys
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial, wraps
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async.errors import SerializationError
from durable_async.serializers import NO_TYPE, JsonSerializer, Serializer, SerializerContext
from durable_async.serializers._json.annotations import parameter_type, return_type
from durable_async.serializers._json.converter import format_duration, make_converter, parse_duration
from durable_async.serializers._json.plain import comes_back_plain, fits
from durable_async.serializers._json.serializer import deserialize, serialize, structure, unstructure
from tests.ids import stable

JSON = JsonSerializer()
ID = UUID(int=5)
NOON = datetime(2024, 5, 6, 12, tzinfo=timezone(timedelta(hours=2)))


def asked(kind: Any = NO_TYPE) -> SerializerContext:
    return SerializerContext("arn", "1ced8f", "charge", kind)


def written(value: Any, kind: Any = NO_TYPE) -> str:
    return JSON.serialize(value, asked(kind))


def read(text: str, kind: Any = NO_TYPE) -> Any:
    return JSON.deserialize(text, asked(kind))


class Number(enum.Enum):
    ONE = 1
    TWO = "two"


class Planet(enum.Enum):
    EARTH = (5.97, 6.38)
    MARS = (0.64, 3.39)


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Item:
    name: str
    price: Decimal
    tags: frozenset[str] = frozenset()
    _note: str | None = None


@attrs.frozen
class Gift(Item):
    card: str = ""


@dataclasses.dataclass
class Tree:
    value: int
    children: "list[Tree]" = dataclasses.field(default_factory=list)


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Voucher:
    number: str


class Point(NamedTuple):
    x: int
    day: date


class Order(TypedDict):
    items: list[Item]
    placed: NotRequired[datetime]


T = TypeVar("T")


@attrs.frozen
class Box(Generic[T]):
    content: T


OrderId = NewType("OrderId", UUID)

ROUND_TRIPS = [
    (None, None, "null"),
    (None, type(None), "null"),
    (True, bool, "true"),
    (True, int, "true"),
    (3, int, "3"),
    (10**30, int, "1" + "0" * 30),
    (1.5, float, "1.5"),
    ("é\ud800", str, '"\\u00e9\\ud800"'),
    ([1, {"a": [None, True]}], NO_TYPE, '[1, {"a": [null, true]}]'),
    ({"a": 1, "b": "x"}, dict, '{"a": 1, "b": "x"}'),
    ({"a": [1, None]}, dict[str, Any], '{"a": [1, null]}'),
    (Decimal("1.10"), Decimal, '"1.10"'),
    (ID, UUID, '"00000000-0000-0000-0000-000000000005"'),
    (ID, OrderId, '"00000000-0000-0000-0000-000000000005"'),
    (b"\x00\xff", bytes, '"AP8="'),
    (bytearray(b"a"), bytearray, '"YQ=="'),
    (NOON, datetime, '"2024-05-06T12:00:00+02:00"'),
    (datetime(2024, 5, 6, 1, 2, 3, 4), datetime, '"2024-05-06T01:02:03.000004"'),
    (date(2024, 5, 6), date, '"2024-05-06"'),
    (time(1, 2, 3), time, '"01:02:03"'),
    (timedelta(days=1, hours=2, seconds=4.5), timedelta, '"P1DT2H4.5S"'),
    (Path("a/b"), Path, '"a/b"'),
    (PurePosixPath("/a"), PurePosixPath, '"/a"'),
    (Number.ONE, Number, "1"),
    (Number.TWO, Number, '"two"'),
    (Planet.MARS, Planet, "[0.64, 3.39]"),
    (Level.LOW, Level, "1"),
    (Word.YES, Word, '"yes"'),
    (Access.READ | Access.WRITE, Access, "3"),
    (
        Item("tea", Decimal("3.5"), frozenset("cab")),
        Item,
        '{"name": "tea", "price": "3.5", "tags": ["a", "b", "c"], "_note": null}',
    ),
    (Tree(1, [Tree(2), Tree(3, [Tree(4)])]), Tree, None),
    (Point(1, date(2024, 5, 6)), Point, '[1, "2024-05-06"]'),
    ({"items": [Item("tea", Decimal(3))]}, Order, None),
    ({"items": [], "placed": NOON}, Order, '{"items": [], "placed": "2024-05-06T12:00:00+02:00"}'),
    (Box(ID), Box[UUID], '{"content": "00000000-0000-0000-0000-000000000005"}'),
    (Box(3), Box, '{"content": 3}'),
    (Box([Box(ID)]), Box[list[Box[UUID]]], None),
    ([1, 2], list[int], "[1, 2]"),
    ([1, 2], Sequence[int], "[1, 2]"),
    ([1, 2], Iterable[int], "[1, 2]"),
    ((1, "a"), tuple[int, str], '[1, "a"]'),
    ((1, 2, 3), tuple[int, ...], "[1, 2, 3]"),
    ((1, 2, 3), tuple, "[1, 2, 3]"),
    ((), tuple[()], "[]"),
    ({"b", "a"}, set[str], '["a", "b"]'),
    (frozenset({ID}), frozenset[UUID], None),
    (frozenset({1}), AbstractSet[int], "[1]"),
    (deque([1]), deque[int], "[1]"),
    ({1: "a"}, dict[int, str], '{"1": "a"}'),
    ({ID: 1}, Mapping[UUID, int], None),
    ({(1, 2): 3}, dict[tuple[int, int], int], '{"[1, 2]": 3}'),
    ({True: 1, False: 0}, dict[bool, int], '{"true": 1, "false": 0}'),
    ({None: 1}, dict[UUID | None, int], '{"null": 1}'),
    ({Level.LOW: 1}, dict[Level, int], '{"1": 1}'),
    ({Word.YES: 1}, dict[Word, int], '{"yes": 1}'),
    ({Number.ONE: 1, Number.TWO: 2}, dict[Number, int], '{"1": 1, "two": 2}'),
    (Counter("aab"), Counter[str], '{"a": 2, "b": 1}'),
    (OrderedDict(b=1, a=2), OrderedDict[str, int], '{"b": 1, "a": 2}'),
    (defaultdict(list, a=[1]), defaultdict[str, list[int]], '{"a": [1]}'),
    (Item("tea", Decimal(3)), Annotated[Item, "doc"], None),
    (None, Item | None, "null"),
    (Item("tea", Decimal(3)), Item | None, None),
    ({1: 2}, dict[int, int] | None, '{"1": 2}'),
    ("a", Literal["a", "b"], '"a"'),
    # unions whose members JSON tells apart
    (1, int | str, "1"),
    ("1", int | str, '"1"'),
    (1, float | int, "1"),
    (1.0, int | float, "1.0"),
    (timedelta(1), timedelta | int, '"P1D"'),
    ([1], list[int] | list[str], "[1]"),
    (["a"], list[int] | list[str], '["a"]'),
    (ID, UUID | str, '"00000000-0000-0000-0000-000000000005"'),
    ("x", str | UUID, '"x"'),
    (ID, str | UUID, '"00000000-0000-0000-0000-000000000005"'),
    (date(2024, 5, 6), date | datetime, '"2024-05-06"'),
    (NOON, date | datetime, '"2024-05-06T12:00:00+02:00"'),
    (Card("1"), Card | Item | None, '{"number": "1"}'),
    (None, Card | Item | None, "null"),
    (Item("tea", Decimal(3)), Card | Item | None, None),
    # and unions that need the member's name
    (str(ID), UUID | str, '{"$type": "str", "$value": "00000000-0000-0000-0000-000000000005"}'),
    (["1"], list[Decimal] | list[str], '{"$type": "list[str]", "$value": ["1"]}'),
    (Card("1"), Card | Voucher, '{"number": "1"}'),
    (Voucher("1"), Card | Voucher, '{"$type": "Voucher", "$value": {"number": "1"}}'),
    ([Voucher("1"), Card("2")], list[Card | Voucher], None),
    ({"$type": "x", "$value": 1}, dict[str, Any] | int, '{"$type": "x", "$value": 1}'),
]


@pytest.mark.parametrize(
    ("value", "kind", "text"), ROUND_TRIPS, ids=lambda each: None if each is None else stable(each)
)
def test_a_value_comes_back_as_the_type_it_was(value, kind, text):
    recorded = written(value, kind)
    back = read(recorded, kind)
    assert back == value
    assert type(back) is type(value)
    assert text is None or recorded == text
    assert written(back, kind) == recorded


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        (Number.TWO, "two"),
        (Word.YES, "yes"),
        (Decimal("1.0"), "1.0"),
        (ID, str(ID)),
        (NOON, "2024-05-06T12:00:00+02:00"),
        (timedelta(0), "PT0S"),
        (b"a", "YQ=="),
        (Item("tea", Decimal(3)), {"name": "tea", "price": "3", "tags": [], "_note": None}),
        ([Tree(1)], [{"value": 1, "children": []}]),
        (Point(1, date(2024, 5, 6)), [1, "2024-05-06"]),
        ({"a": (ID,)}, {"a": [str(ID)]}),
        ({Word.YES: 1}, {"yes": 1}),
    ],
    ids=stable,
)
@pytest.mark.parametrize("kind", [NO_TYPE, Any, object], ids=stable)
def test_without_a_type_plain_json_comes_back(value, back, kind):
    assert read(written(value, kind), kind) == back


def test_objects_may_hold_what_a_type_has_no_field_for():
    assert read('{"number": "1", "new": 2}', Card) == Card("1")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1.0", int, 1),
        ("2", float, 2.0),
        ("1.10", Decimal, Decimal("1.1")),
        ("7", Decimal, Decimal(7)),
        ('"2024-05-06T10:00:00Z"', datetime, datetime(2024, 5, 6, 10, tzinfo=UTC)),
        ('"P1W"', timedelta, timedelta(weeks=1)),
    ],
    ids=stable,
)
def test_other_languages_may_write_it_otherwise(text, kind, value):
    back = read(text, kind)
    assert (back, type(back)) == (value, type(value))


# --- what is refused ---


class Socket:
    pass


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: Any = 0
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (Socket(), NO_TYPE, "$: JSON cannot hold a value of class Socket"),
        ({"items": [1, {"price": Socket()}]}, NO_TYPE, "$.items[1].price: JSON cannot hold a value of class Socket"),
        ({"a b": Socket()}, NO_TYPE, "$['a b']: JSON cannot hold a value of class Socket"),
        ({"x" * 500: Socket()}, NO_TYPE, "xxx...]: JSON cannot hold a value of class Socket"),
        (Item("tea", Socket()), Item, "$.price: a Socket where Decimal is declared"),
        (Item(Socket(), Decimal(1)), NO_TYPE, "$.name: JSON cannot hold a value of class Socket"),
        ([Decimal(1), Socket()], list[Decimal], "$[1]: a Socket where Decimal is declared"),
        ([Item("a", Decimal(1)), Gift("b", Decimal(1))], list[Item], "$[1]: a Gift where Item is declared"),
        (NOON, date, "$: a datetime where date is declared"),
        ((1, 2, 3), tuple[int, int], "$: a tuple where tuple[int, int] is declared"),
        (Socket(), list[int], "$: a Socket where list[int] is declared"),
        (Socket(), int | str, "$: a Socket where int | str is declared"),
        (float("nan"), NO_TYPE, "$: nan is a float that JSON does not have"),
        ([1.0, float("inf")], list[float], "$[1]: inf is"),
        ({"a": {1: 2}}, NO_TYPE, "$.a: a key is of type int and would come back as a str"),
        ({None: 2}, dict, "$: a key is of type NoneType"),
        ({1: 2}, dict[str, int], "$: a key is of type int"),
        ({1: 2}, dict[int | str, int], "$: a key of type int would not come back from text as int | str"),
        ({Socket(): 2}, dict[int, int], "$: a key of type Socket would not come back"),
        (CYCLE, NO_TYPE, "$: the value contains itself, or is nested too deeply"),
        (CYCLE, list[Any], "$: the value contains itself"),
        (DEEP, NO_TYPE, "$: the value contains itself, or is nested too deeply"),
    ],
    ids=lambda each: stable(each) if isinstance(each, str) else "",
)
def test_what_would_not_come_back_is_refused_with_its_place(value, kind, reason):
    with pytest.raises(SerializationError) as refused:
        written(value, kind)
    assert refused.value.operation == "charge"
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("{", NO_TYPE, "not JSON"),
        ("", NO_TYPE, "not JSON"),
        ("[NaN]", NO_TYPE, "not JSON: NaN is not JSON"),
        ("-Infinity", NO_TYPE, "not JSON"),
        ("[" * 100_000, NO_TYPE, "not JSON"),
        ('"12"', int, "cannot be read as int: $: expected int, found a string"),
        ("12.5", int, "$: expected int, found a number"),
        ("12", str, "$: expected str, found a whole number"),
        ("1", bool, "$: expected bool, found a whole number"),
        ('"1"', float, "$: expected float, found a string"),
        ("1", type(None), "$: expected NoneType, found a whole number"),
        ('"abc"', list[str], "$: expected list[str], found a string"),
        ('{"a": 1}', list[str], "$: expected list[str], found an object"),
        ("[1, 2]", tuple[int], "$: expected 1 items for tuple[int], found 2"),
        ("[]", dict[str, int], "$: expected dict[str, int], found an array"),
        ("[]", Item, "$: expected Item, found an array"),
        ("[]", Order, "$: expected Order, found an array"),
        ('{"name": "tea"}', Item, "cannot be read as Item: $.price: is missing"),
        (
            '{"name": 1, "price": "x"}',
            Item,
            "$.name: expected str, found a whole number; $.price: not a decimal number",
        ),
        ('[{"number": "1"}, {"number": 2}]', list[Card], "$[1].number: expected str, found a whole number"),
        ('{"items": [{}]}', Order, "$.items[0].name: is missing"),
        ('{"a": "x"}', dict[str, int], "$['a']: expected int, found a string"),
        ('{"b": 1}', dict[int, int], "$['b']: expected int, found a string"),
        ('"blue"', Number, "$: 'blue' is not a valid Number"),
        ("[1, 2]", Planet, "$: not a value of Planet"),
        ('"noon"', datetime, "$: Invalid isoformat string"),
        ('"P1M"', timedelta, "$: not an ISO 8601 duration"),
        ('"x"', UUID, "$: badly formed"),
        ('"x"', int | None, "$: expected int, found a string"),
        ("[]", int | str, "$: expected int | str, found an array"),
        ("5", Socket, "$: there is no rule to read Socket"),
        (json.dumps(["x"] * 9), list[int], "; and 6 more"),
    ],
    ids=stable,
)
def test_what_cannot_be_read_is_refused_with_its_place(text, kind, reason):
    with pytest.raises(SerializationError) as refused:
        read(text, kind)
    assert refused.value.operation == "charge"
    assert reason in refused.value.reason


def test_an_error_does_not_show_the_payload():
    secret = "s" * 10_000
    for kind in (int, Number, datetime, Item, list[int], dict[str, int], Literal["a"], UUID, Card | Voucher):
        for text in (json.dumps(secret), json.dumps({"name": secret, "price": secret})):
            with pytest.raises(SerializationError) as refused:
                read(text, kind)
            assert len(str(refused.value)) < 400


def test_an_operation_without_a_name_is_named_by_its_id():
    with pytest.raises(SerializationError, match=r"^the unnamed operation 1ced8f: "):
        JSON.serialize(Socket(), SerializerContext("arn", "1ced8f", None))


# --- invariants ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(json_values)
def test_plain_json_is_its_own_tree(value):
    text = written(value)
    assert text == json.dumps(value)
    assert read(text) == value
    assert text.isascii()


plain_types = st.recursive(
    st.sampled_from(
        [(None, st.none()), (bool, st.booleans()), (int, st.integers()), (str, st.text()), (Any, json_values)]
    ),
    lambda inner: st.one_of(
        inner.map(lambda each: (list[each[0]], st.lists(each[1], max_size=3))),
        inner.map(lambda each: (dict[str, each[0]], st.dictionaries(st.text(), each[1], max_size=3))),
    ),
    max_leaves=3,
)


@given(st.data(), plain_types)
def test_a_tree_that_fits_a_plain_type_is_what_cattrs_would_read(data, typed):
    kind, values = typed
    tree = data.draw(values)
    assert comes_back_plain(kind)
    assert fits(tree, kind)
    other = data.draw(st.sampled_from([tree, [tree], {"a": tree}]) | json_values)
    if fits(other, kind):
        assert json.dumps(make_converter().structure(other, kind)) == json.dumps(other)


@pytest.mark.parametrize(
    ("kind", "fitting", "others"),
    [
        (dict[str, Any], [{}, {"a": [1.5]}], [None, [], "a", 1]),
        (list[int], [[], [1, 2]], [[1, "a"], [True], [1.0], {}, None]),
        (dict[str, list[str | None]], [{"a": ["b", None]}], [{"a": None}, {"a": [1]}]),
        (int | None, [1, None], [True, "1", 1.0]),
        (Annotated[list[Any], "things"], [[{}]], [{}]),
    ],
)
def test_what_fits_a_plain_type(kind, fitting, others):
    assert comes_back_plain(kind)
    assert all(fits(tree, kind) for tree in fitting)
    assert not any(fits(tree, kind) for tree in others)


moments = st.datetimes(timezones=st.none() | st.just(UTC))
leaves: list[tuple[Any, Any]] = [
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, st.text()),
    (Decimal, st.decimals(allow_nan=False)),
    (UUID, st.uuids()),
    (bytes, st.binary()),
    (datetime, moments),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Number, st.sampled_from(Number)),
    (Planet, st.sampled_from(Planet)),
    (Level, st.sampled_from(Level)),
]
hashable = [leaf for leaf in leaves if leaf[0] is not float]


@st.composite
def typed_values(draw, depth=2):
    """A type, and a strategy for its values."""
    if depth == 0:
        return draw(st.sampled_from(leaves))
    shape = draw(st.sampled_from(["leaf", "list", "set", "tuple", "pair", "dict", "optional", "class"]))
    if shape == "leaf":
        return draw(st.sampled_from(leaves))
    if shape == "set":
        kind, values = draw(st.sampled_from(hashable))
        return frozenset[kind], st.frozensets(values, max_size=4)
    if shape == "class":
        fields = draw(st.lists(typed_values(depth=depth - 1), max_size=4))
        cls = attrs.make_class(
            "Made", {f"f{i}": attrs.field(type=kind) for i, (kind, _) in enumerate(fields)}, frozen=True
        )
        return cls, st.builds(cls, *(values for _, values in fields))
    kind, values = draw(typed_values(depth=depth - 1))
    match shape:
        case "list":
            return list[kind], st.lists(values, max_size=4)
        case "tuple":
            return tuple[kind, ...], st.lists(values, max_size=4).map(tuple)
        case "pair":
            return tuple[int, kind], st.tuples(st.integers(), values)
        case "dict":
            key, keys = draw(st.sampled_from(hashable))
            return dict[key, kind], st.dictionaries(keys, values, max_size=4)
        case _:
            return kind | None, st.none() | values


@given(st.data())
def test_values_of_any_type_come_back(data):
    kind, values = data.draw(typed_values())
    value = data.draw(values)
    text = written(value, kind)
    back = read(text, kind)
    assert back == value
    assert type(back) is type(value)
    assert written(back, kind) == text


union_members: list[tuple[Any, Any]] = [
    *leaves,
    (type(None), st.none()),
    (Card, st.builds(Card, st.text())),
    (Voucher, st.builds(Voucher, st.text())),
    (list[int], st.lists(st.integers(), max_size=3)),
    (list[str], st.lists(st.text(), max_size=3)),
    (dict[str, str], st.dictionaries(st.text(), st.text(), max_size=3)),
]


@given(st.data(), st.lists(st.sampled_from(range(len(union_members))), min_size=2, max_size=4, unique=True))
def test_a_value_of_a_union_comes_back_as_the_member_it_was(data, chosen):
    members = [union_members[i] for i in chosen]
    kind = typing.Union[tuple(member for member, _ in members)]  # noqa: UP007 - made of a tuple
    value = data.draw(st.one_of([values for _, values in members]))
    back = read(written(value, kind), kind)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("members", "value", "tree"),
    [
        pytest.param((Card, Voucher), Card("1"), {"number": "1"}, id="first by name"),
        pytest.param(
            (Card, Voucher), Voucher("1"), {"$type": "Voucher", "$value": {"number": "1"}}, id="second by name"
        ),
        pytest.param((str, timedelta), timedelta(1), "P1D", id="str is last"),
    ],
)
def test_a_union_is_written_the_same_in_whatever_order_its_members_stand(members, value, tree):
    for order in (members, members[::-1]):
        kind = typing.Union[order]  # noqa: UP007 - made of a tuple
        converter = make_converter()  # a new one: hooks are kept by equality, and the two unions are equal
        assert converter.unstructure(value, kind) == tree
        assert converter.structure(tree, kind) == value


@given(st.timedeltas())
def test_a_duration_comes_back(value):
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "P1Y", "1D", "P-1D", "PT1.5M", "PT1H2"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_duration(text)


def test_the_text_of_a_set_is_the_same_in_every_process():
    script = "from tests.serializers.test_serializers import written; print(written({'items': set('abcdefgh')}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert texts == {'{"items": ["a", "b", "c", "d", "e", "f", "g", "h"]}\n'}


def test_the_import_is_light():
    script = (
        "import sys, durable_async.config, durable_async.serializers as s\n"
        "from typing import Any\n"
        "for kind in (s.NO_TYPE, dict, dict[str, Any], dict[str, list[int]] | None):\n"
        "    of = s.SerializerContext('arn', 'id', None, kind)\n"
        "    assert s.JsonSerializer().deserialize(s.JsonSerializer().serialize({'a': [1]}, of), of) == {'a': [1]}\n"
        "print(sorted({'cattrs', 'anyio', 'aiohttp', 'botocore', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


# --- serializers of one's own ---


class Upper:
    def serialize(self, value: str, context: SerializerContext) -> str:
        return value.upper()

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return f"{context.operation}:{text}"


class AsyncUpper:
    async def serialize(self, value: str, context: SerializerContext) -> str:
        await asyncio.sleep(0)
        return value.upper()

    async def deserialize(self, text: str, context: SerializerContext) -> str:
        await asyncio.sleep(0)
        return f"{context.operation}:{text}"


@pytest.mark.parametrize("serializer", [Upper(), AsyncUpper()], ids=["sync", "async"])
async def test_a_serializer_of_ones_own(serializer):
    assert isinstance(serializer, Serializer)
    assert await serialize(serializer, "a", asked()) == "A"
    assert await deserialize(serializer, "A", asked()) == "charge:A"


async def test_without_one_it_is_json():
    assert await serialize(None, {"a": (1,)}, asked()) == '{"a": [1]}'
    assert await deserialize(None, '{"a": [1]}', asked(dict[str, tuple[int, ...]])) == {"a": (1,)}


class Careless(Upper):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def serialize(self, value: str, context: SerializerContext) -> Any:
        if self.error:
            raise self.error

    deserialize = serialize


async def test_a_serializer_that_fails_is_named():
    with pytest.raises(SerializationError, match=r"charge: Careless\.serialize must return a str, not a NoneType"):
        await serialize(Careless(), "a", asked())
    for call in (serialize, deserialize):
        with pytest.raises(SerializationError, match="charge: Careless failed with KeyError: 'x'") as failed:
            await call(Careless(KeyError("x")), "a", asked())
        assert isinstance(failed.value.__cause__, KeyError)
        own = SerializationError("charge", "no key")
        with pytest.raises(SerializationError) as failed:
            await call(Careless(own), "a", asked())
        assert failed.value is own


# --- events and results as plain values ---


@pytest.mark.parametrize(
    ("tree", "kind", "value"),
    [
        ({"number": "1"}, Card, Card("1")),
        ({"value": 1}, Tree, Tree(1)),
        ({"items": []}, Order, {"items": []}),
        ({"x": 1}, dict, {"x": 1}),
        ({"x": 1}, NO_TYPE, {"x": 1}),
        (["1"], list[Decimal], [Decimal(1)]),
        ("x", str, "x"),
        (None, Card | None, None),
    ],
    ids=stable,
)
def test_an_event_is_read_as_its_annotation(tree, kind, value):
    assert structure(tree, asked(kind)) == value


def test_a_result_becomes_plain_values():
    assert unstructure([Card("1")], asked(list[Card])) == [{"number": "1"}]
    assert unstructure([Card("1")], asked()) == [{"number": "1"}]


class Model(pydantic.BaseModel):
    number: str


class SubModel(Model):
    pass


def test_models_write_and_read_themselves():
    assert written([Model(number="1")], list[Model]) == '[{"number": "1"}]'
    assert read('[{"number": "1"}]', list[Model]) == [Model(number="1")]
    assert written(Model(number="1")) == '{"number": "1"}'
    with pytest.raises(SerializationError, match="a SubModel where Model is declared"):
        written(SubModel(number="1"), Model)


def test_pydantic_models_come_back():
    class Payment(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        id: UUID
        amount: Decimal = pydantic.Field(alias="Amount")
        at: datetime
        tags: frozenset[str] = frozenset()

    payment = Payment(id=ID, Amount=Decimal("1.10"), at=NOON, tags=frozenset("a"))
    assert read(written([payment], list[Payment]), list[Payment]) == [payment]
    with pytest.raises(SerializationError, match=r"\$\[0\]: id: .*UUID") as refused:
        read('[{"id": "secret", "Amount": "1", "at": "2024-05-06T12:00:00Z"}]', list[Payment])
    assert "secret" not in refused.value.reason


# --- annotations ---


async def coroutine_function() -> Item: ...
def in_process_function() -> list[Item]: ...
def awaitable_function() -> Awaitable[Item]: ...
def coroutine_returning() -> Coroutine[Any, Any, int]: ...
async def returns_awaitable() -> Awaitable[int]: ...
def nothing() -> None: ...
def unannotated(): ...
def anything() -> Any: ...
def object_function() -> object: ...
def variable(x: T) -> T: ...
def never() -> typing.NoReturn: ...
def unknown() -> "Missing": ...  # noqa: F821
def as_text() -> "list[Item]": ...
def beside_unknown(x: "Missing") -> "Item": ...  # noqa: F821
def annotated() -> Annotated[Item, "doc"]: ...


class Service:
    def method(self, order: Order) -> Item: ...

    @staticmethod
    def static(order: Order) -> Item: ...

    @classmethod
    def of(cls, order: Order) -> Item: ...

    async def __call__(self, order: Order) -> Item: ...


def decorated(func):
    @wraps(func)
    def wrapper(*args):
        return func(*args)

    return wrapper


@pytest.mark.parametrize(
    ("func", "kind"),
    [
        (coroutine_function, Item),
        (in_process_function, list[Item]),
        (awaitable_function, Item),
        (coroutine_returning, int),
        (returns_awaitable, Awaitable[int]),
        (nothing, type(None)),
        (unannotated, NO_TYPE),
        (anything, NO_TYPE),
        (object_function, NO_TYPE),
        (variable, NO_TYPE),
        (never, NO_TYPE),
        (unknown, NO_TYPE),
        (as_text, list[Item]),
        (beside_unknown, Item),
        (annotated, Item),
        (partial(partial(in_process_function)), list[Item]),
        (Service().method, Item),
        (Service.method, Item),
        (Service.static, Item),
        (Service.of, Item),
        (Service(), Item),
        (partial(Service().method, {}), Item),
        (decorated(as_text), list[Item]),
        (Item, Item),
        (lambda: 1, NO_TYPE),
        (len, NO_TYPE),
    ],
    ids=lambda each: getattr(each, "__qualname__", stable(each))[:50],
)
def test_the_type_of_a_result(func, kind):
    assert return_type(func) == kind
    assert return_type(func) == kind


def handler(event: Order, ctx: "Missing") -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("func", "kind"),
    [
        (handler, Order),
        (lambda event, ctx: None, NO_TYPE),
        (nothing, NO_TYPE),
        (Service().method, Order),
        (Service.static, Order),
        (Service.of, Order),
        (Service(), Order),
        (decorated(handler), Order),
        (len, NO_TYPE),
    ],
    ids=lambda each: getattr(each, "__qualname__", stable(each))[:50],
)
def test_the_type_of_an_event(func, kind):
    assert parameter_type(func) == kind


def test_no_function_is_kept_alive():
    import gc
    import weakref

    def local() -> int: ...

    return_type(local)
    gone = weakref.ref(local)
    del local
    gc.collect()
    assert gone() is None


def test_there_is_one_no_type():
    assert repr(NO_TYPE) == "NO_TYPE"
    assert pickle.loads(pickle.dumps(NO_TYPE)) is copy.deepcopy(NO_TYPE) is NO_TYPE
    assert pickle.loads(pickle.dumps(asked())) == asked()
