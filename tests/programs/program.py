"""What programs are made of, and how they read.

A program is a block of statements. It says what is done, not when: no program's result depends on which of its parts
is faster. Every statement either gives a value or raises an error, always the same.

Operations are named by their place in the program. What is cut short at a moment that depends on timing, such as the
siblings of a branch that fails, may be on record or not: there the names begin with ``RACED``. Where branches meet, an
operation follows whose name says who came there when: these begin with ``ORDERED``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import attrs

RACED = "~"
ORDERED = "^"


@attrs.frozen
class Step:
    """
    :ivar failures: attempts that fail before the last one
    :ivar fails: whether the last one fails, too
    """

    failures: int = 0
    fails: bool = False
    at_most_once: bool = False
    in_thread: bool = False
    keyed: bool = False


@attrs.frozen
class Wait:
    seconds: int = 1


@attrs.frozen
class Derive:
    """Ask the context for its values that are derived and not recorded."""


@attrs.frozen
class Raise:
    """The workflow's own code fails."""


class Answer(StrEnum):
    """What the outside world says to a callback."""

    RESULT = "result"
    FAILURE = "failure"
    NOTHING = "nothing"


@attrs.frozen
class Callback:
    """A callback, a step that hands out its id, and then the wait for the answer.

    :ivar after: seconds from the handing out to the answer
    """

    answer: Answer = Answer.RESULT
    after: int = 0


@attrs.frozen
class WaitForCallback:
    """The same as one operation.

    :ivar fails: whether the id cannot be handed out
    """

    answer: Answer = Answer.RESULT
    after: int = 0
    fails: bool = False


class Verdict(StrEnum):
    """How the last check of a condition ends."""

    MET = "met"
    EXHAUSTED = "exhausted"
    RAISES = "raises"


@attrs.frozen
class Condition:
    checks: int = 1
    verdict: Verdict = Verdict.MET


@attrs.frozen
class Invoke:
    """:ivar durable: whether the other function is a workflow, too"""

    durable: bool = False
    fails: bool = False


@attrs.frozen
class Child:
    """:ivar large: its result is too large to record"""

    body: Block
    large: bool = False
    keyed: bool = False


@attrs.frozen
class Retried:
    """A block that is attempted again.

    :ivar failures: attempts that fail although the block itself does not
    """

    body: Block
    failures: int = 1
    max_attempts: int = 2


@attrs.frozen
class Batch:
    """
    :ivar large: its result is too large to record
    :ivar fail_fast: whether the first failure ends it, and is what it raises. Else all items end, and errors are values
    """

    items: tuple[Block, ...]
    parallel: bool = False
    max_concurrency: int | None = None
    flat: bool = False
    large: bool = False
    fail_fast: bool = False


@attrs.frozen
class Race:
    """The first of two branches, of which the other never ends."""

    body: Block


@attrs.frozen
class Guarded:
    """``try`` a block, and go on with its error as a value."""

    body: Block


@attrs.frozen
class InTime:
    """A deadline that is far away."""

    body: Block


@attrs.frozen
class TooLate:
    """A deadline that passes: the block never ends by itself."""

    body: Block


@attrs.frozen
class Compensated:
    """Each statement registers what undoes it.

    :ivar undo_fails: for each statement of the body, whether undoing it fails
    :ivar cleanups_fail: for each clean-up, whether it fails
    """

    body: Block
    undo_fails: tuple[bool, ...] = ()
    cleanups_fail: tuple[bool, ...] = ()


class Concurrency(StrEnum):
    GATHER = "asyncio.gather"
    TASKS = "asyncio.create_task"
    TASK_GROUP = "asyncio.TaskGroup"
    ANYIO_GROUP = "anyio.create_task_group"
    DURABLE_GROUP = "ctx.task_group"
    QUEUE = "asyncio.Queue, one consumer"
    QUEUES = "asyncio.Queue, two consumers"
    LOCK = "asyncio.Lock"
    EVENT = "asyncio.Event"
    CONDITION = "asyncio.Condition"
    SEMAPHORE = "asyncio.Semaphore"
    FIRST = "asyncio.wait(FIRST_COMPLETED)"
    ALL = "asyncio.wait(ALL_COMPLETED)"
    AS_COMPLETED = "asyncio.as_completed"
    CALLBACKS = "Task.add_done_callback"
    STREAM = "anyio.create_memory_object_stream"
    SHARED = "a shared variable"

    @property
    def fails_together(self) -> bool:
        """Whether a branch that fails cancels the others. Else its error is its value."""
        return self in (Concurrency.TASK_GROUP, Concurrency.ANYIO_GROUP, Concurrency.DURABLE_GROUP)


GROUPS = (*Concurrency,)[: (*Concurrency,).index(Concurrency.QUEUE)]
MEETINGS = (*Concurrency,)[len(GROUPS) :]


@attrs.frozen
class Together:
    """Concurrent branches. Of those that fail together one fails at most: which one was first is a matter of time.

    Where they meet, for example at a queue, each one's turn is followed by an operation.
    """

    how: Concurrency
    branches: tuple[Block, ...]


@attrs.frozen
class Gathered:
    """Operations called at once by one strand of code, and awaited together."""

    calls: tuple[Call, ...]


Call = Step | Wait | WaitForCallback | Condition | Invoke | Child | Retried | Batch | Race
Statement = Call | Callback | Derive | Raise | Guarded | InTime | TooLate | Compensated | Together | Gathered
Block = tuple[Statement, ...]


@attrs.frozen(repr=False)
class Program:
    body: Block

    def __str__(self) -> str:
        return "\n".join(["async def workflow(event, ctx):", *_indented(_block(self.body))])

    __repr__ = __str__


def walk(block: Block) -> Iterator[Statement]:
    """Every statement in a block, in those within it too."""
    for statement in block:
        yield statement
        for inner in blocks_of(statement):
            yield from walk(inner)


def blocks_of(statement: Statement) -> tuple[Block, ...]:
    match statement:
        case Step() | Wait() | Callback() | WaitForCallback() | Condition() | Invoke() | Derive() | Raise():
            return ()
        case Together():
            return statement.branches
        case Batch():
            return statement.items
        case Gathered():
            return (statement.calls,)
        case _:
            return (statement.body,)


# --- how they read ---


def _block(block: Block) -> list[str]:
    return [line for statement in block for line in _lines(statement)] or ["pass"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _within(head: str, block: Block) -> list[str]:
    return [head, *_indented(_block(block))]


def _lines(statement: Statement) -> list[str]:
    match statement:
        case Callback():
            return [
                f"callback = await ctx.create_callback({_options(statement)})",
                "await ctx.step(hand_out, callback.callback_id)",
                "await callback.result()",
            ]
        case Derive():
            return ["ctx.uuid(), ctx.random(), ctx.now()"]
        case Raise():
            return ["raise Broken"]
        case Guarded():
            return [*_within("try:", statement.body), "except Exception:", "    pass"]
        case InTime():
            return _within("async with ctx.timeout(FAR):", statement.body)
        case TooLate():
            return [*_within("async with ctx.timeout(NEAR):", statement.body), "    await ctx.wait(FOR_EVER)"]
        case Compensated():
            return ["async with ctx.compensations() as undo:", *_indented(_compensated(statement))]
        case Together():
            return [*_functions(statement.branches, ""), f"await {statement.how}({_names(statement.branches)})"]
        case Gathered():
            calls = [f"    {_call(call)}," for call in statement.calls]
            functions = [line for call in statement.calls for line in _functions(blocks_of(call), "ctx")]
            return [*functions, "await asyncio.gather(", *calls, "    return_exceptions=True,", ")"]
        case _:
            return [*_functions(blocks_of(statement), "ctx"), f"await {_call(statement)}"]


def _functions(blocks: tuple[Block, ...], parameter: str) -> list[str]:
    heads = [f"async def branch_{n}({parameter}):" for n in range(len(blocks))]
    return [line for head, block in zip(heads, blocks, strict=True) for line in _within(head, block)]


def _names(blocks: tuple[Block, ...]) -> str:
    return ", ".join(f"branch_{n}" for n in range(len(blocks)))


def _call(call: Call) -> str:
    arguments = [_names(blocks_of(call)), _options(call)]
    return f"ctx.{_OPERATIONS[type(call)]}({', '.join(each for each in arguments if each)})"


_OPERATIONS: dict[type[Call], str] = {
    Step: "step",
    Wait: "wait",
    WaitForCallback: "wait_for_callback",
    Condition: "wait_for_condition",
    Invoke: "invoke",
    Child: "run_in_child_context",
    Retried: "with_retry",
    Batch: "map",
    Race: "race",
}


def _options(statement: Statement) -> str:
    """What differs from the defaults, as keyword arguments."""
    return ", ".join(
        f"{field.name}={value!r}"
        for field in attrs.fields(type(statement))
        if field.name not in ("body", "items") and (value := getattr(statement, field.name)) != field.default
    )


def _compensated(statement: Compensated) -> list[str]:
    lines = [f"undo.add_cleanup({'fail' if fails else 'work'})" for fails in statement.cleanups_fail]
    for each, fails in zip(statement.body, statement.undo_fails, strict=True):
        lines += [*_lines(each), f"undo.add({'fail' if fails else 'work'})"]
    return lines or ["pass"]
