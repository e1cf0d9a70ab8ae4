"""A value comes back equal, or is refused when it is written, with its place: type by type."""

import dataclasses
import enum
import ipaddress
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePath, PureWindowsPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pydantic
import pydantic.dataclasses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import DurableContext, RetryStrategy, StepConfig, WaitDecision, durable_execution
from durable_async.embedded import DurableService
from durable_async.errors import SerializationError
from durable_async.serializers import NO_TYPE, Compressed, JsonSerializer, SerializerContext
from durable_async.serializers._json.equality import difference, is_same
from durable_async.serializers._json.serializer import round_trip
from tests.world import World

JSON = JsonSerializer()
ID = UUID(int=5)
BERLIN = ZoneInfo("Europe/Berlin")
T = TypeVar("T")


def at(kind: Any = NO_TYPE) -> SerializerContext:
    return SerializerContext("arn", "1ced8f", "charge", kind)


# --- pydantic ---


class Model(pydantic.BaseModel):
    pass


class Payment(Model):
    amount: Decimal


class Card(Payment):
    last4: str


class Order(Model):
    payment: Payment


class Orders(Model):
    payments: dict[str, list[Payment]]


class Login(Model):
    user: str
    password: pydantic.SecretStr


class Key(Model):
    data: pydantic.SecretBytes


class Told(Model):
    password: pydantic.SecretStr

    @pydantic.field_serializer("password", when_used="json")
    def _tell(self, secret: pydantic.SecretStr) -> str:
        return secret.get_secret_value()


class Private(Model):
    name: str
    _count: int = pydantic.PrivateAttr(default=0)


class Anything(Model):
    value: Any


class Excluded(Model):
    name: str
    note: str = pydantic.Field(default="", exclude=True)


class Required(Model):
    note: str = pydantic.Field(exclude=True)


class Aliased(Model):
    amount: Decimal = pydantic.Field(alias="Amount")


class TwoAliases(Model):
    amount: int = pydantic.Field(default=0, validation_alias="in", serialization_alias="out")


class Computed(Model):
    width: int

    @pydantic.computed_field
    @property
    def area(self) -> int:
        return self.width**2


class Open(Model):
    model_config = pydantic.ConfigDict(extra="allow")


class Closed(Model):
    model_config = pydantic.ConfigDict(extra="ignore")
    name: str


class Frozen(Model):
    model_config = pydantic.ConfigDict(frozen=True)
    name: str


class Envelope(Model, Generic[T]):
    content: T


class Cat(Model):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(Model):
    kind: Literal["dog"] = "dog"


class Owner(Model):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


class Tags(pydantic.RootModel[list[str]]):
    pass


class Rounded(Model):
    amount: Decimal

    @pydantic.field_serializer("amount")
    def _round(self, amount: Decimal) -> str:
        return str(round(amount, 1))


class Upper(Model):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _upper(cls, name: str) -> str:
        return name + "!"


@pydantic.dataclasses.dataclass
class Parcel:
    weight: Decimal
    marks: tuple[str, ...] = ()


class Everything(Model):
    when: datetime
    day: date
    clock: time
    max_inline_wait: timedelta
    id: UUID
    path: Path
    address: ipaddress.IPv4Address
    pair: tuple[int, str]
    names: frozenset[str]
    data: bytes
    by_day: dict[date, Decimal]
    pattern: re.Pattern[str]


EVERYTHING = Everything(
    when=datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    day=date(2024, 5, 6),
    clock=time(1, 2, 3, 4),
    max_inline_wait=timedelta(days=-1, microseconds=1),
    id=ID,
    path=Path("a"),
    address=ipaddress.IPv4Address("10.0.0.1"),
    pair=(1, "a"),
    names=frozenset("ab"),
    data=b"text",
    by_day={date(2024, 5, 6): Decimal("1.10")},
    pattern=re.compile("a+"),
)


def changed(model: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


# --- dataclasses and attrs ---


@dataclasses.dataclass
class Basket:
    owner: str
    items: list[str] = dataclasses.field(default_factory=list, init=False)


@attrs.define
class Meter:
    name: str
    count: int = attrs.field(default=0, init=False)


@dataclasses.dataclass
class Square:
    side: int
    area: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.area = self.side**2


@dataclasses.dataclass(eq=False)
class ById:
    name: str
    tags: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Quiet:
    name: str
    note: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(kw_only=True, slots=True)
class Slim:
    name: str
    seen: datetime | None = None


@dataclasses.dataclass
class WithInitVar:
    name: str
    seed: dataclasses.InitVar[int]


@dataclasses.dataclass
class Base:
    name: str


@dataclasses.dataclass
class Derived(Base):
    more: str = ""


@dataclasses.dataclass
class Holder:
    base: Base
    bases: list[Base] = dataclasses.field(default_factory=list)


@attrs.define
class Doubling:
    count: int = attrs.field(converter=lambda count: int(count) * 2)


@attrs.define
class Lower:
    name: str = attrs.field(converter=str.lower)


@attrs.frozen
class Underscored:
    _token: str
    size: int = attrs.field(alias="length", default=0)


@attrs.define
class Loose:
    value: Any = None
    untyped: "Any" = attrs.field(default=None)


@attrs.define(slots=False)
class Cached:
    name: str

    @cached_property
    def upper(self) -> str:
        return self.name.upper()


@dataclasses.dataclass
class Scribbled:
    name: str


@dataclasses.dataclass
class Locked:
    name: str

    def __post_init__(self) -> None:
        self.opened = False
        self.lock = object()


@attrs.frozen
class Box(Generic[T]):
    content: T


class Optional_(TypedDict, total=False):
    name: str
    price: Decimal


class Point(NamedTuple):
    x: int
    y: int = 0


class OtherPoint(NamedTuple):
    x: int
    y: int


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(enum.Enum):
    A = (1, 2)
    B = [1, 2]  # noqa: RUF012 - written as the same JSON as A


class Text(str):
    __slots__ = ()


class Count(int):
    pass


OrderId = NewType("OrderId", int)

upper = Cached("a")
assert upper.upper

EQUAL = [
    # pydantic
    (Payment(amount=Decimal("12345678901234567.89")), Payment),
    (Card(amount=Decimal(1), last4="4242"), Card),
    (Card(amount=Decimal(1), last4="4242"), Card | None),
    (Order(payment=Payment(amount=Decimal("1.10"))), None),
    (Told(password=pydantic.SecretStr("s3cret")), Told),
    (Private(name="a"), Private),
    (Anything(value={"a": [1, None]}), Anything),
    (Excluded(name="a"), Excluded),
    (Aliased(Amount=Decimal("1.0")), Aliased),
    (Computed(width=3), Computed),
    (Open(more={"a": 1}), Open),
    (Closed(name="a", more=1), Closed),
    (Frozen(name="a"), Frozen),
    (Envelope[Decimal](content=Decimal("1.10")), Envelope[Decimal]),
    (Owner(pet=Dog()), Owner),
    (Tags(["a"]), Tags),
    (Rounded(amount=Decimal("1.5")), Rounded),
    (Parcel(Decimal("1.5"), ("fragile",)), Parcel),
    (EVERYTHING, Everything),
    ([Card(amount=Decimal(1), last4="4")], list[Card]),
    (Cat(), Cat | Dog),
    # dataclasses and attrs
    (Basket("ann"), Basket),
    (Square(3), Square),
    (ById("a", (1,)), None),
    (ById("a", ()), ById),
    (Quiet("a", [1]), Quiet),
    (Slim(name="a", seen=datetime(2024, 5, 6, tzinfo=UTC)), Slim),
    (Holder(Base("a"), [Base("b")]), Holder),
    (Lower("ABC"), Lower),
    (Underscored("t", 5), Underscored),
    (Loose({"a": [1.5]}, "b"), Loose),
    (upper, Cached),
    (Locked("a"), Locked),
    (Box((1, 2)), Box[tuple[int, int]]),
    (Box({"a": 1}), Box),
    # the standard library
    ({"price": Decimal(1)}, Optional_),
    ({}, Optional_),
    ({"price": Decimal(1), "more": [1]}, Optional_),
    (Point(1), Point),
    (Color.CRIMSON, Color),
    (Level.LOW, Level),
    (Access.READ | Access.WRITE, Access),
    (Access(0), Access),
    (Pair.B, Pair),
    (Decimal("12345678901234567.89"), Decimal),
    (Decimal("1E+400"), Decimal),
    (Decimal("NaN"), Decimal),
    (Decimal("sNaN123"), Decimal),
    (Decimal("-Infinity"), Decimal),
    (Decimal("-0.00"), Decimal),
    (2**53, float),
    (-0.0, float),
    (5e-324, float),
    (2**64 + 1, int),
    (True, int | float),
    (1, bool | int),
    (1.0, bool | float | int),
    (b"\x00", bytes),
    (bytearray(b"\x00"), bytearray),
    (datetime(2024, 5, 6, 1, 2, 3, 999999), datetime),
    (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1), datetime),
    (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=0), datetime),
    (datetime(1890, 1, 1, tzinfo=BERLIN), datetime),  # an offset with seconds
    (datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))), datetime),
    (time(1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))), time),
    (timedelta.min, timedelta),
    (timedelta.max, timedelta),
    (Path("a/b"), PurePath),
    ({ID, UUID(int=6)}, set[UUID]),
    (frozenset({(1, 2)}), frozenset[tuple[int, int]]),
    ({1}, AbstractSet[int]),
    ((1, "a"), tuple[int, str]),
    (deque([1]), deque[int]),
    ({1: "a", 2: "b"}, dict[int, str]),
    ({Word.YES: Decimal(1)}, dict[Word, Decimal]),
    (OrderedDict(b=1, a=2), OrderedDict[str, int]),
    (OrderedDict(b=1, a=2), dict[str, int]),
    (defaultdict(list, a=[1]), defaultdict[str, list[int]]),
    (defaultdict(list, a=[1]), dict[str, list[int]]),
    (Counter("aab"), Counter[str]),
    (Counter("aab"), Mapping[str, int]),
    (1, Literal[1, "a"]),
    (OrderId(5), OrderId),
    (Decimal(1), Annotated[Decimal, "euro"]),
    ({"a": [1, {"b": None}]}, dict[str, Any]),
    ([1, "a", None, 1.5, True], list[object]),
    ({"a": {"b": Decimal(1)}}, dict[str, dict[str, Decimal]]),
    (Word.YES, str),
    (Level.LOW, int),
    (Text("a"), str),
    (Count(5), int),
    ([Text("a")], list[str]),
]


@pytest.mark.parametrize(
    ("value", "kind"), EQUAL, ids=lambda each: re.sub(r"\W+", " ", re.sub(r" at 0x[0-9a-f]+", "", str(each)))[:50]
)
def test_a_value_comes_back_equal(value, kind):
    kind = type(value) if kind is None else kind
    back = JSON.deserialize(JSON.serialize(value, at(kind)), at(kind))
    assert difference(value, back) is None
    assert JSON.round_trip(value, at(kind))[0] == JSON.serialize(value, at(kind))
    if not isinstance(value, (Decimal, datetime, ById, Order, Everything)) and value is not upper:
        assert back == value  # Decimal: NaN is not itself; datetime: nor is a moment that is there twice, in its zone


SECRET = "is written as asterisks. Keep the secret elsewhere"
INIT_FALSE = "__init__ does not take this field"

REFUSED = [
    # pydantic
    (Login(user="ann", password="s3cret"), Login, f"$.password: a SecretStr {SECRET}"),
    (Key(data=b"s3cret"), Key, f"$.data: a SecretBytes {SECRET}"),
    ([{"a": Login(user="ann", password="s3cret")}], list[dict[str, Login]], f"$[0].a.password: a SecretStr {SECRET}"),
    (Anything(value=pydantic.SecretStr("s3cret")), Anything, f"$.value: a SecretStr {SECRET}"),
    (Order(payment=Card(amount=Decimal(1), last4="4242")), Order, "$.payment: a Card would come back as a Payment"),
    (
        Orders(payments={"a": [Payment(amount=1), Card(amount=1, last4="4")]}),
        Orders,
        "$.payments.a[1]: a Card would come back as a Payment",
    ),
    (changed(Private(name="a"), _count=3), Private, "$: private attributes of a model are not written (_count)"),
    (Anything(value=Decimal("1.1")), Anything, "$.value: a Decimal would come back as a str"),
    (Anything(value=(1, 2)), Anything, "$.value: a tuple would come back as a list"),
    (Anything(value=[{"a": ID}]), Anything, "$.value[0].a: a UUID would come back as a str"),
    (Excluded(name="a", note="b"), Excluded, "$.note: an excluded field (exclude=True) is not written"),
    (Required(note="b"), Required, "would not come back as Required: $: note: Field required"),
    (TwoAliases(**{"in": 5}), TwoAliases, "$.amount: a int would come back with another value"),
    (Open(more=(1, 2)), Open, "$.more: a tuple would come back as a list"),
    (Rounded(amount=Decimal("1.55")), Rounded, "$.amount: a Decimal would come back with another value"),
    (Upper(name="a"), Upper, "$.name: a str would come back with another value"),
    (Envelope[Any](content={1}), Envelope[Any], "$.content: a set would come back as a list"),
    (Order.model_construct(payment=3), Order, "would not come back as Order: $: payment:"),
    # dataclasses and attrs
    (changed(Basket("ann"), items=["tea"]), Basket, f"$.items: {INIT_FALSE}"),
    (changed(Meter("a"), count=3), Meter, f"$.count: {INIT_FALSE}"),
    (changed(Square(3), area=10), Square, f"$.area: {INIT_FALSE}"),
    ([changed(Basket("ann"), items=["tea"])], tuple[Basket, ...], f"$[0].items: {INIT_FALSE}"),
    (ById("a", ((1, 2),)), ById, "$.tags[0]: a tuple would come back as a list"),
    (Quiet("a", (1,)), Quiet, "$.note: a tuple would come back as a list"),
    ({Quiet("a", (1,))}, set[Quiet], "$[].note: a tuple would come back as a list"),
    (WithInitVar("a", 1), WithInitVar, "would not come back as WithInitVar"),
    (Holder(Derived("a", "b")), Holder, "$.base: a Derived where Base is declared"),
    (Doubling(1), Doubling, "$.count: a int would come back with another value"),
    (Loose(ID), Loose, "$.value: a UUID would come back as a str"),
    (Loose(None, {1}), Loose, "$.untyped: a set would come back as a list"),
    (Box(ID), Box, "$.content: a UUID would come back as a str"),
    (changed(Scribbled("a"), note="b"), Scribbled, "$.note: an attribute that is not a field is not written"),
    (changed(Locked("a"), opened=True), Locked, "$.opened: an attribute that is not a field is not written"),
    (Slim(name=5), Slim, "would not come back as Slim: $.name: expected str, found a whole number"),
    # the standard library
    ({"name": "a", "more": (1, 2)}, Optional_, "$.more: JSON cannot hold a value of class tuple"),
    (OtherPoint(1, 2), Point, "$: a OtherPoint would come back as a Point"),
    (Pair.A, Pair, "$: a Pair would come back with another value"),
    (float("nan"), float, "$: nan is a float that JSON does not have"),
    ({"a": float("-inf")}, dict[str, float], "$.a: -inf is a float that JSON does not have"),
    (2**53 + 1, float, "$: a int would come back as a float"),
    ([2**53 + 1], list[float], "$[0]: a int would come back as a float"),
    ("x", None, "a str would not come back as None: $: expected None, found a string"),
    (memoryview(b"a"), bytes, "$: a memoryview where bytes is declared"),
    (time(1, 2, tzinfo=BERLIN), time, "$: a time whose time zone tells no offset"),
    (PureWindowsPath("a"), PurePath, "$: a PureWindowsPath would come back as a PurePosixPath"),
    (deque([1, 2], maxlen=2), deque[int], "$: a deque would come back without its maxlen"),
    (defaultdict(lambda: [0], a=[1]), defaultdict[str, list[int]], "$: a defaultdict would come back with another"),
    ((1, 2), list[int], "$: a tuple would come back as a list"),
    ((1, 2), Sequence[int], "$: a tuple would come back as a list"),
    ({1, 2}, list[int], "$: a set would come back as a list"),
    ({"a": Decimal(1)}, dict, "$.a: a Decimal would come back as a str"),
    ([ID], list, "$[0]: a UUID would come back as a str"),
    ({"a": {1}}, dict[str, Any], "$.a: a set would come back as a list"),
    ({"a": Color.BLUE}, dict[str, Any], "$.a: a Color would come back as a str"),
    ({"a": Base("b")}, dict[str, Any], "$.a: a Base would come back as a dict"),
    (1j, complex, "$: JSON cannot hold a value of class complex"),
    (Fraction(1, 3), Fraction, "$: JSON cannot hold a value of class Fraction"),
    (re.compile("a"), re.Pattern, "$: JSON cannot hold a value of class Pattern"),
    (ipaddress.IPv4Address("10.0.0.1"), ipaddress.IPv4Address, "$: JSON cannot hold a value of class IPv4Address"),
    (range(3), range, "a range would not come back as range: $: "),
    ("\ud83d\ude00", str, "$: a str holds a pair of surrogates"),
    ("\ud83d\ude00", NO_TYPE, "$: a str holds a pair of surrogates"),
    # where no type is declared, an object may become a dict, but not lose a field
    (Login(user="ann", password="s3cret"), NO_TYPE, f"$.password: a SecretStr {SECRET}"),
    ({"a": [changed(Basket("ann"), items=["tea"])]}, NO_TYPE, f"$.a[0].items: {INIT_FALSE}"),
    ((Order(payment=Card(amount=1, last4="4")),), NO_TYPE, "$[0].payment: a Card would come back as a Payment"),
]


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    REFUSED,
    ids=lambda each: re.sub(r"\W+", " ", re.sub(r" at 0x[0-9a-f]+", "", str(each)))[:50],
)
async def test_what_would_come_back_as_something_else_is_refused_with_its_place(value, kind, reason):
    with pytest.raises(SerializationError) as refused:
        JSON.serialize(value, at(kind))
    assert reason in refused.value.reason
    assert "$" in refused.value.reason
    assert refused.value.operation == "charge"
    assert "s3cret" not in str(refused.value)
    for serializer in (None, JSON, Compressed(threshold=0)):
        with pytest.raises(SerializationError) as again:
            await round_trip(serializer, value, at(kind))
        assert str(again.value) == str(refused.value)


def test_plain_json_may_stand_for_a_type_that_is_read_from_it():
    for value, kind, back in (
        ({"amount": "1.10"}, Payment, Payment(amount=Decimal("1.10"))),
        ({"base": {"name": "a"}, "unknown": 1}, Holder, Holder(Base("a"))),
        ([1, 1], set[int], {1}),
        ("2024-05-06", date, date(2024, 5, 6)),
        (1, Color, Color.RED),
        (1.5, Decimal, Decimal("1.5")),
        ([1, 2], Point, Point(1, 2)),
        (3, float, 3.0),
    ):
        text, read = JSON.round_trip(value, at(kind))
        assert (read, type(read)) == (back, type(back))
        assert JSON.deserialize(text, at(kind)) == back


def test_what_stands_in_a_dict_for_a_class_is_compared_too():
    with pytest.raises(SerializationError, match=r"\$\.bases\[0\]\.items: __init__ does not take"):
        JSON.serialize({"bases": [changed(Basket("ann"), items=["tea"])]}, at(dict[str, list[Basket]]))
    with pytest.raises(SerializationError, match=r"\$\.pet\.lives: a Decimal would come back as a int"):
        JSON.serialize({"pet": {"kind": "cat", "lives": Decimal(3)}}, at(Owner))


@pytest.mark.parametrize("kind", [Decimal, Payment, list[Payment], dict[str, Decimal], Decimal | None, Box[Decimal]])
def test_all_digits_of_a_number_are_read_as_a_decimal(kind):
    digits = "12345678901234567.89"
    text, found = {
        Decimal: (digits, lambda read: read),
        Payment: (f'{{"amount": {digits}}}', lambda read: read.amount),
        list[Payment]: (f'[{{"amount": {digits}}}]', lambda read: read[0].amount),
        dict[str, Decimal]: (f'{{"a": {digits}}}', lambda read: read["a"]),
        Decimal | None: (digits, lambda read: read),
        Box[Decimal]: (f'{{"content": {digits}}}', lambda read: read.content),
    }[kind]
    assert found(JSON.deserialize(text, at(kind))) == Decimal(digits)


@attrs.frozen
class Measured:
    price: Decimal
    ratio: float
    count: int = 0
    either: float | str = 0.0


def test_numbers_beside_a_decimal_are_what_they_are_declared_as():
    text = (
        '{"price": 1e400, "ratio": 0.1000000000000000055511151231257827, "count": 1e2, "either": 12345678901234567.89}'
    )
    read = JSON.deserialize(text, at(Measured))
    assert read == Measured(Decimal("1e400"), 0.1, 100, 12345678901234567.89)
    assert [type(each) for each in attrs.astuple(read)] == [Decimal, float, int, float]


@pytest.mark.parametrize("kind", [float, list[float], Measured, dict[str, float]])
def test_a_number_that_a_float_cannot_hold_is_not_read_as_infinity(kind):
    text = {float: "1e400", list[float]: "[-1e400]", Measured: '{"price": 1, "ratio": 1e400}'}.get(kind, '{"a": 1e400}')
    with pytest.raises(SerializationError, match="a number that a float cannot hold"):
        JSON.deserialize(text, at(kind))


# --- wherever a value is written ---


async def refusal(workflow: Any) -> str:
    """The message of the error that the execution ends with."""
    async with World() as world:
        closed = await world.run(durable_execution(workflow))
    assert closed.status == "FAILED"
    return closed.error["ErrorMessage"]


LOGIN = Login(user="ann", password="s3cret")


async def test_a_step_fails_without_a_retry_and_names_itself_and_the_place():
    runs = []

    async def count() -> Login:
        runs.append(1)
        return LOGIN

    async def workflow(event: Any, ctx: DurableContext) -> None:
        await ctx.step(count, config=StepConfig(retry_strategy=RetryStrategy.default()))

    assert "count: $.password: a SecretStr is written as asterisks" in await refusal(workflow)
    assert runs == [1]


async def test_a_child_context_a_state_and_an_item_are_compared_too():
    async def child(event: Any, ctx: DurableContext) -> None:
        async def log_in(ctx: DurableContext) -> Login:
            return LOGIN

        await ctx.run_in_child_context(log_in)

    async def item(event: Any, ctx: DurableContext) -> Any:
        async def of(*_: Any) -> Login:
            return LOGIN

        result = await ctx.map(of, ["ann"])
        raise result.items[0].error

    async def state(event: Any, ctx: DurableContext) -> None:
        def check(state: Any) -> Login:
            return LOGIN

        await ctx.wait_for_condition(check, {"user": "ann", "password": ""}, lambda state, attempt: WaitDecision.stop())

    async def first_state(event: Any, ctx: DurableContext) -> None:
        await ctx.wait_for_condition(lambda state: 1, LOGIN, lambda state, attempt: WaitDecision.stop())

    async def invoke(event: Any, ctx: DurableContext) -> None:
        await ctx.invoke("other", {"login": LOGIN})

    for workflow in (child, item, state, first_state, invoke):
        message = await refusal(workflow)
        assert "password: a SecretStr is written as asterisks" in message, workflow.__name__


async def test_a_workflow_whose_result_is_not_what_it_declares_fails_and_says_so():
    async def nothing(event: Any, ctx: DurableContext) -> None:
        return "x"  # type: ignore[return-value]

    async def login(event: Any, ctx: DurableContext) -> Login:
        return LOGIN

    message = await refusal(nothing)
    assert "the execution's result: a str would not come back as NoneType: $: expected NoneType, found" in message
    assert "the execution's result: $.password: a SecretStr is written as asterisks" in await refusal(login)


async def test_an_event_or_an_answer_that_would_change_starts_and_answers_nothing():
    @durable_execution
    async def take(event: Login, ctx: DurableContext) -> str:
        return event.user

    @durable_execution
    async def ask(event: Any, ctx: DurableContext) -> Decimal:
        callback = await ctx.create_callback(name="ask", returns=Payment)
        return (await callback.result()).amount

    async with DurableService() as service:
        service.register(take)
        service.register(ask)
        for function, event, reason in (
            (take, LOGIN, r"the execution's input: \$\.password: a SecretStr"),
            ("take", {"a": LOGIN}, r"the execution's input: \$\.a\.password: a SecretStr"),
            (
                take,
                {"user": "ann"},
                "the execution's input: a dict would not come back as Login: .*password: Field requ",
            ),
        ):
            with pytest.raises(SerializationError, match=reason):
                await service.start(function, event, name="one")
        assert await service.find(take, "one") is None
        execution = await service.start(ask, {})
        async for found in execution.events():
            if found.type == "CallbackStarted":
                break
        callback_id = found.details["CallbackId"]
        with pytest.raises(SerializationError, match=r"the callback's result: \$\.password: a SecretStr"):
            await service.succeed_callback(callback_id, LOGIN)
        await service.succeed_callback(callback_id, b'{"amount": 12345678901234567.89}')
        assert await execution.result() == Decimal("12345678901234567.89")


@pytest.mark.parametrize(
    ("kind", "outcome"), [(Decimal, ("SUCCEEDED", '"1E+400"')), (float, "cannot hold"), (Any, "cannot hold")], ids=str
)
async def test_an_event_holds_no_infinity(kind, outcome):
    async def echo(event, ctx):
        return event["price"]

    echo.__annotations__ = {"event": dict[str, kind] if kind is not Any else Any}
    async with World() as world:
        closed = await world.run(durable_execution(echo), b'{"price": 1e400}')
    if kind is Decimal:
        assert (closed.status, closed.result) == outcome
    else:
        assert closed.status == "FAILED"
        assert outcome in closed.error["ErrorMessage"]


# --- invariants ---

annotations_of_leaves: list[tuple[Any, Any]] = [
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats()),
    (float, st.integers()),
    (str, st.text(st.characters(exclude_categories=()))),
    (Decimal, st.decimals() | st.just(Decimal("sNaN"))),
    (UUID, st.uuids()),
    (bytes, st.binary()),
    (datetime, st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=True)),
    (date, st.dates()),
    (time, st.times(timezones=st.none() | st.timezones())),
    (timedelta, st.timedeltas()),
    (Color, st.sampled_from(Color)),
    (Pair, st.sampled_from(Pair)),
    (Base, st.builds(Base, st.text()) | st.builds(Derived, st.text(), st.text())),
    (Payment, st.builds(Payment, amount=st.decimals(allow_nan=False, allow_infinity=False))),
    (Payment, st.builds(Card, amount=st.integers(), last4=st.text())),
    (Any, st.none() | st.integers() | st.tuples(st.integers()) | st.uuids() | st.sampled_from(Color)),
    (Login, st.just(LOGIN)),
]


def made_class(draw: Any, fields: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """A class of these fields by a library, perhaps with one that ``__init__`` does not take, and its values."""
    names = {f"f{i}": kind for i, (kind, _) in enumerate(fields)}
    values = [strategy for _, strategy in fields]
    hidden = draw(st.booleans())
    match draw(st.sampled_from(["attrs", "dataclass", "pydantic"])):
        case "attrs":
            extra = {"hidden": attrs.field(default=0, init=False, type=int)} if hidden else {}
            fields_ = {name: attrs.field(type=kind) for name, kind in names.items()}
            cls: Any = attrs.make_class("Made", fields_ | extra, eq=draw(st.booleans()))
        case "dataclass":
            extra_ = [("hidden", int, dataclasses.field(default=0, init=False))] if hidden else []
            cls = dataclasses.make_dataclass("Made", [*names.items(), *extra_], eq=draw(st.booleans()))
        case _:
            extra = {"hidden": (int, pydantic.Field(default=0, exclude=True))} if hidden else {}
            config = pydantic.ConfigDict(arbitrary_types_allowed=True)  # of pydantic's own it cannot read attrs
            cls = pydantic.create_model(
                "Made", __config__=config, **{name: (kind, ...) for name, kind in names.items()}, **extra
            )
            return cls, st.builds(
                lambda *given, hidden: (
                    cls.model_construct(**dict(zip(names, given, strict=True)), hidden=hidden)
                    if extra
                    else cls.model_construct(**dict(zip(names, given, strict=True)))
                ),
                *values,
                hidden=st.integers(0, 1),
            )
    return cls, st.builds(
        lambda *given, hidden_: changed(cls(*given), hidden=hidden_) if hidden else cls(*given),
        *values,
        hidden_=st.integers(0, 1),
    )


@st.composite
def typed_values(draw, depth=2):
    """A type, and a strategy for values that may or may not be of it."""
    shape = draw(st.sampled_from(["leaf", "list", "tuple", "dict", "optional", "union", "class"]))
    if depth == 0 or shape == "leaf":
        return draw(st.sampled_from(annotations_of_leaves))
    if shape == "class":
        return made_class(draw, draw(st.lists(typed_values(depth=depth - 1), min_size=1, max_size=3)))
    kind, values = draw(typed_values(depth=depth - 1))
    match shape:
        case "list":
            return list[kind], st.lists(values, max_size=3) | st.lists(values, max_size=3).map(tuple)
        case "tuple":
            return tuple[kind, ...], st.lists(values, max_size=3).map(tuple)
        case "dict":
            return dict[str, kind], st.dictionaries(st.text(max_size=3), values, max_size=3)
        case "optional":
            return kind | None if kind is not Any else Any, st.none() | values
        case _:
            other, others = draw(st.sampled_from(annotations_of_leaves))
            return (kind | other if Any not in (kind, other) else Any), values | others


def shown(value: Any) -> Any:
    """Everything of a value, in a form that compares: types and fields, not ``__eq__``. Written for this test alone."""
    if isinstance(value, pydantic.SecretStr):
        return value.get_secret_value()
    if isinstance(value, pydantic.BaseModel):
        return type(value), {name: shown(getattr(value, name, None)) for name in type(value).model_fields}
    if attrs.has(type(value)) or dataclasses.is_dataclass(value):
        fields = attrs.fields(type(value)) if attrs.has(type(value)) else dataclasses.fields(value)
        return type(value), {field.name: shown(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [shown(item) for item in value]
    if isinstance(value, (datetime, time)):
        return value.replace(tzinfo=None, fold=0), value.utcoffset(), value.tzinfo is None
    if isinstance(value, Decimal):
        return Decimal, str(value)
    return value if isinstance(value, (int, float)) else (type(value), value)


@given(st.data())
def test_a_value_of_any_class_comes_back_as_it_is_or_is_refused(data):
    kind, values = data.draw(typed_values())
    value = data.draw(values)
    try:
        text, read = JSON.round_trip(value, at(kind))
    except SerializationError:
        return
    back = JSON.deserialize(text, at(kind))
    assert shown(back) == shown(read)
    if kind is not Any:
        assert shown(back) == shown(value)


@given(st.data())
def test_two_values_are_the_same_if_all_their_fields_are(data):
    _, values = data.draw(typed_values())
    one, other = data.draw(values), data.draw(values)
    assert is_same(one, one)
    if is_same(one, other):
        assert shown(one) == shown(other)
