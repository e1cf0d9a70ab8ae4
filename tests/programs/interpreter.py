"""A program as a workflow.

The bodies of its steps take random times. So they end in another order in every run, and within one execution in the
order of the record. Between its statements it pauses for some turns of the loop, always as many in one execution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any, Protocol, assert_never
from zlib import crc32

import anyio
import attrs

from durable_async import (
    BatchResult,
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    DurableContext,
    DurableHandler,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryStrategy,
    SerializerContext,
    StepConfig,
    StepContext,
    StepSemantics,
    WaitDecision,
    current_step,
    durable_execution,
)
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async.serializers._json.serializer import JSON

from .meaning import NEAR, Broken, described, fails, retried_attempt, step_error
from .meetings import MEETINGS, Meeting
from .observations import Log
from .program import (
    ORDERED,
    RACED,
    Answer,
    Batch,
    Block,
    Call,
    Callback,
    Child,
    Compensated,
    Concurrency,
    Condition,
    Derive,
    Gathered,
    Guarded,
    InTime,
    Invoke,
    Program,
    Race,
    Raise,
    Retried,
    Statement,
    Step,
    Together,
    TooLate,
    Verdict,
    Wait,
    WaitForCallback,
)

TARGET = "target"
NOW = "now"
DURABLE_TARGET = "durable-target:$LATEST"

_FAR = timedelta(days=100)
_FOR_EVER = timedelta(days=300)
_TURNS = (0, 0, 1, 2, 10)
_LABOUR = (0, 0, 0.01, 0.3, 4)  # seconds


@attrs.frozen
class Place:
    """Where in the program something stands.

    :ivar raced: what is cut short there depends on timing
    :ivar context: the context in which it stands, and whose order it observes
    """

    path: str = ""
    raced: bool = False
    context: str = ""

    @property
    def name(self) -> str:
        return RACED + self.path if self.raced else self.path

    def __truediv__(self, part: object) -> Place:
        return attrs.evolve(self, path=f"{self.path}.{part}" if self.path else str(part))

    def attempt(self, number: int) -> Place:
        return attrs.evolve(self, path=f"{self.path}#{number}")

    def race(self) -> Place:
        return attrs.evolve(self, raced=True)

    def inside(self) -> Place:
        """The same, in a context of its own."""
        return attrs.evolve(self, context=self.path)


class Padded:
    """JSON that is too large to be recorded as the result of a context."""

    def serialize(self, value: Any, context: SerializerContext) -> str:
        return JSON.serialize(value, context) + " " * CONTEXT_RESULT_BYTES

    def deserialize(self, text: str, context: SerializerContext) -> Any:
        return JSON.deserialize(text, context)


class Observer(Protocol):
    """Who is told what goes on."""

    def began(self, here: StepContext, *, at_most_once: bool) -> None:
        """An attempt of a step began."""

    def saw(self, place: Place, value: Any) -> None:
        """What stands at a place: always the same within one execution."""

    def handed_out(self, callback_id: str, place: Place, answer: Answer, after: int) -> None:
        """The outside world knows of a callback."""


@attrs.frozen
class Interpreter:
    """A program in one invocation.

    :ivar seed: what the pauses in the workflow's code follow from
    :ivar log: what the program saw in this invocation
    """

    rng: Random
    observer: Observer
    seed: int = 0
    log: Log = attrs.field(factory=Log)

    def handler(self, program: Program, max_inline_wait: timedelta) -> DurableHandler[Any, Any]:
        @durable_execution(max_inline_wait=max_inline_wait)
        async def workflow(event: Any, ctx: DurableContext) -> Any:
            return await self.run(ctx, program)

        return workflow

    async def run(self, ctx: DurableContext, program: Program) -> Any:
        return await self._block(ctx, program.body, Place())

    async def _pause(self, place: Place) -> None:
        """In the workflow's own code: some turns of the loop, as many in every invocation. Time that passes there would
        not hold its invocation."""
        for _ in range(_TURNS[crc32(f"{self.seed} {place.path}".encode()) % len(_TURNS)]):
            await asyncio.sleep(0)

    def _saw(self, place: Place, value: Any) -> None:
        self.observer.saw(place, value)
        self.log.note((place.name, value), place.context)

    async def _labour(self) -> None:
        """In the body of a step: some time. If it is cancelled, a task of its own cleans up for some time."""
        try:
            await asyncio.sleep(self.rng.choice(_LABOUR))
        except asyncio.CancelledError:
            await asyncio.create_task(asyncio.sleep(self.rng.choice(_LABOUR)))
            raise

    async def _block(self, ctx: DurableContext, block: Block, place: Place) -> list[Any]:
        values: list[Any] = []
        for n, statement in enumerate(block):
            values.append(await self._one(ctx, statement, place / n))
        return values

    async def _one(self, ctx: DurableContext, statement: Statement, place: Place) -> Any:
        await self._pause(place)
        try:
            value = await self._statement(ctx, statement, place)
        except Exception as error:
            self._saw(place, described(error))
            raise
        self._saw(place, value)
        return value

    async def _statement(self, ctx: DurableContext, statement: Statement, place: Place) -> Any:
        match statement:
            case Callback():
                return await self._callback(ctx, statement, place)
            case Derive():
                self._saw(place / "values", [str(ctx.uuid()), ctx.random().random()])
                self._saw(place / NOW, ctx.now().isoformat())
                return None
            case Raise():
                raise Broken(f"{place.path} is broken")
            case Guarded():
                return await self._settled(self._block(ctx, statement.body, place))
            case InTime():
                async with ctx.timeout(_FAR, name=place.name):
                    return await self._block(ctx, statement.body, place)
            case TooLate():
                async with ctx.timeout(NEAR, name=place.name):
                    await self._settled(self._block(ctx, statement.body, place.race()))
                    await ctx.wait(_FOR_EVER, name=(place.race() / "for ever").name)
                return None
            case Compensated():
                return await self._compensated(ctx, statement, place)
            case Together():
                return await self._together(ctx, statement, place)
            case Gathered():
                calls = [self._call(ctx, call, place / n) for n, call in enumerate(statement.calls)]
                return [_value(each) for each in await asyncio.gather(*calls, return_exceptions=True)]
            case _:
                return await self._call(ctx, statement, place)

    async def _settled(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except Exception as error:
            return described(error)

    # --- operations ---

    def _call(self, ctx: DurableContext, call: Call, place: Place) -> Coroutine[Any, Any, Any]:
        key = place.name if isinstance(call, Step | Child) and call.keyed else None
        match call:
            case Step():
                return ctx.step(self._work(call, place), name=place.name, key=key, config=_step_config(call))
            case Wait():
                return ctx.wait(timedelta(seconds=call.seconds), name=place.name)
            case WaitForCallback():
                submitter = self._submitter(call, place)
                timeout = None if call.fails else _timeout(call.answer)
                return ctx.wait_for_callback(submitter, name=place.name, timeout=timeout)
            case Condition():
                return self._condition(ctx, call, place)
            case Invoke():
                target = DURABLE_TARGET if call.durable else TARGET
                return ctx.invoke(target, {"place": place.path, "fails": call.fails}, name=place.name)
            case Child():
                config = ChildConfig(serializer=Padded() if call.large else None)
                return ctx.run_in_child_context(
                    self._block, call.body, place.inside(), name=place.name, key=key, config=config
                )
            case Retried():
                return self._retried(ctx, call, place)
            case Batch():
                return self._batch(ctx, call, place)
            case Race():
                body, for_ever = place / 0, place.race() / 1
                return ctx.race(
                    (body.name, lambda ctx: self._block(ctx, call.body, place.inside())),
                    (for_ever.name, lambda ctx: ctx.wait(_FOR_EVER, name=for_ever.name)),
                    name=place.name,
                )
            case _:
                assert_never(call)

    def _work(self, step: Step, place: Place) -> Callable[[], Any]:
        def end() -> str:
            attempt = current_step().attempt
            if attempt <= step.failures:
                raise Broken(f"{place.path}, attempt {attempt}")
            if step.fails:
                raise step_error(step, place.path)
            return place.path

        def in_thread() -> str:
            self.observer.began(current_step(), at_most_once=step.at_most_once)
            return end()

        async def on_loop() -> str:
            self.observer.began(current_step(), at_most_once=step.at_most_once)
            await self._labour()
            return end()

        return in_thread if step.in_thread else on_loop

    def _retried(self, ctx: DurableContext, statement: Retried, place: Place) -> Coroutine[Any, Any, Any]:
        attempts = count(1)

        async def attempt(ctx: DurableContext) -> Any:
            number = next(attempts)
            value = await self._block(ctx, statement.body, place.attempt(number).inside())
            return retried_attempt(statement, place.path, number, value)

        strategy = RetryStrategy.fixed(delay=timedelta(seconds=3), max_attempts=statement.max_attempts)
        return ctx.with_retry(attempt, strategy=strategy, name=place.name)

    async def _callback(self, ctx: DurableContext, statement: Callback, place: Place) -> Any:
        config = CallbackConfig(timeout=_timeout(statement.answer))
        callback = await ctx.create_callback(name=place.name, config=config)
        submitter = self._submitter(WaitForCallback(statement.answer, statement.after), place)
        await ctx.step(submitter, callback.callback_id, name=(place / "submitter").name)
        await self._pause(place / "created")
        return await callback.result()

    def _submitter(self, call: WaitForCallback, place: Place) -> Callable[[str], Awaitable[None]]:
        async def submitter(callback_id: str) -> None:
            self.observer.began(current_step(), at_most_once=False)
            if call.fails:
                raise Broken(f"{place.path} is broken")
            await self._labour()
            self.observer.handed_out(callback_id, place, call.answer, call.after)
            await self._labour()

        return submitter

    def _condition(self, ctx: DurableContext, call: Condition, place: Place) -> Coroutine[Any, Any, int]:
        async def check(done: int) -> int:
            self.observer.began(current_step(), at_most_once=False)
            await self._labour()
            if call.verdict is Verdict.RAISES and done + 1 == call.checks:
                raise Broken(f"{place.path} is broken")
            return done + 1

        def strategy(done: int, attempt: int) -> WaitDecision:
            if done < call.checks:
                return WaitDecision.continue_after(timedelta(seconds=2))
            return WaitDecision.stop() if call.verdict is Verdict.MET else WaitDecision.exhausted()

        return ctx.wait_for_condition(check, 0, strategy, name=place.name)

    def _batch(self, ctx: DurableContext, call: Batch, place: Place) -> Coroutine[Any, Any, list[Any]]:
        places = _branch_places(call.items, place, together=call.fail_fast)
        options: dict[str, Any] = {
            "max_concurrency": call.max_concurrency,
            "completion": CompletionConfig() if call.fail_fast else CompletionConfig.all_completed(),
            "nesting": NestingType.FLAT if call.flat else NestingType.NESTED,
            "item_serializer": Padded() if call.large else None,
        }
        if call.parallel:
            branches = [
                (at.name, partial(self._branch, block=block, place=at.inside()))
                for block, at in zip(call.items, places, strict=True)
            ]
            return self._batch_value(ctx.parallel(branches, name=place.name, config=ParallelConfig(**options)), call)
        config = MapConfig(item_namer=lambda _, n: places[n].name, **options)
        numbers = range(len(places))
        batch = ctx.map(
            lambda ctx, n: self._block(ctx, call.items[n], places[n].inside()), numbers, name=place.name, config=config
        )
        return self._batch_value(batch, call)

    async def _branch(self, ctx: DurableContext, *, block: Block, place: Place) -> list[Any]:
        return await self._block(ctx, block, place)

    async def _batch_value(self, batch: Awaitable[BatchResult[Any]], call: Batch) -> list[Any]:
        result = await batch
        if call.fail_fast:
            result.throw_if_error()
        return [item.result if item.error is None else described(item.error) for item in result.items]

    # --- blocks ---

    async def _compensated(self, ctx: DurableContext, statement: Compensated, place: Place) -> list[Any]:
        values: list[Any] = []
        async with ctx.compensations() as undo:
            for n, cleanup_fails in enumerate(statement.cleanups_fail):
                at = place / f"cleanup{n}"
                undo.add_cleanup(self._work(Step(fails=cleanup_fails), at), name=at.name)
            for n, each in enumerate(statement.body):
                values.append(await self._one(ctx, each, place / n))
                at = place / f"undo{n}"
                undo.add(self._work(Step(fails=statement.undo_fails[n]), at), name=at.name)
        return values

    async def _together(self, ctx: DurableContext, statement: Together, place: Place) -> list[Any]:
        places = _branch_places(statement.branches, place, together=statement.how.fails_together)
        inner = [at.inside() for at in places] if statement.how is Concurrency.DURABLE_GROUP else places
        works = [
            partial(self._branch, block=block, place=at) for block, at in zip(statement.branches, inner, strict=True)
        ]
        match statement.how:
            case Concurrency.GATHER:
                values = await asyncio.gather(*(work(ctx) for work in works), return_exceptions=True)
                return [_value(value) for value in values]
            case Concurrency.TASKS:
                first, *others = [self._settled(work(ctx)) for work in works]
                tasks = [asyncio.create_task(other) for other in others]
                try:
                    return [await first, *[await task for task in tasks]]
                finally:
                    for task in tasks:
                        task.cancel()
            case Concurrency.TASK_GROUP:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work(ctx)) for work in works]
                return [task.result() for task in tasks]
            case Concurrency.ANYIO_GROUP:
                results: dict[int, Any] = {}

                async def collect(n: int, work: Callable[[DurableContext], Awaitable[Any]]) -> None:
                    results[n] = await work(ctx)

                async with anyio.create_task_group() as group:
                    for n, work in enumerate(works):
                        group.start_soon(collect, n, work)
                if len(results) < len(works):
                    raise asyncio.CancelledError  # as the result of such a task does
                return [results[n] for n in range(len(works))]
            case Concurrency.DURABLE_GROUP:
                async with ctx.task_group() as group:
                    handles = [group.start_soon(work, name=at.name) for work, at in zip(works, places, strict=True)]
                return [handle.result() for handle in handles]
            case how:
                return await self._meeting(ctx, MEETINGS[how], works, place)

    async def _meeting(
        self, ctx: DurableContext, meeting: Meeting, works: Sequence[Callable[[DurableContext], Any]], place: Place
    ) -> list[Any]:
        values: dict[int, Any] = {}
        order: list[int] = []

        async def branch(n: int) -> None:
            values[n] = await self._settled(works[n](ctx))

        async def met(n: int) -> None:
            order.append(n)
            self.log.note((place.name, "met", n), place.context)
            at = place / f"{len(order)}:{n}"
            await ctx.step(self._work(Step(), at), name=ORDERED + at.path)
            self.log.note((place.name, "has met", n), place.context)

        await meeting([partial(branch, n) for n in range(len(works))], met)
        return [values[n] for n in range(len(works))]


def _branch_places(branches: tuple[Block, ...], place: Place, *, together: bool) -> list[Place]:
    """Where a branch fails that takes the others along, those race it.

    :param together: whether one would
    """
    failing = [together and fails(branch) for branch in branches]
    return [
        at if fails or not any(failing) else at.race() for at, fails in ((place / n, f) for n, f in enumerate(failing))
    ]


def _timeout(answer: Answer) -> timedelta | None:
    return timedelta(seconds=10) if answer is Answer.NOTHING else None


def _step_config(step: Step) -> StepConfig:
    if not (step.failures or step.at_most_once):
        return StepConfig()
    # An attempt that is interrupted counts as one that failed, so where these count, any number is allowed.
    max_attempts = 1000 if step.at_most_once else step.failures + 1
    return StepConfig(
        retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=2), max_attempts=max_attempts),
        semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY if step.at_most_once else StepSemantics.AT_LEAST_ONCE_PER_RETRY,
    )


def _value(outcome: Any) -> Any:
    """What ``gather`` gives for a branch, as a value."""
    if isinstance(outcome, Exception):
        return described(outcome)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
