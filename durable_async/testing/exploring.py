"""Runs a workflow again and again, with a crash at each of its boundaries, and reports what that changes.

The first run finds the boundaries: each checkpoint that the SDK makes. Then there is one run for each of them in which
the process dies before the checkpoint (what ran is not recorded) and one in which it dies after it (the service knows,
and the workflow did not get the answer). More runs keep the workflow in memory, change the timing of its tasks, and
replay the finished record, in this process and in others with another hash seed.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import CodeType
from typing import Generic, Never, TypeVar, Unpack

import attrs

from durable_async._engine.invocation import Invocation
from durable_async._engine.observer import ObservedCall
from durable_async._wire.operations import TERMINAL, ErrorObject, OperationStatus
from durable_async.embedded.service import PlainFunction
from durable_async.errors import ContextMisuseError, NonDeterminismError
from durable_async.handler import AnyHandler, DurableHandler
from durable_async.replay import replay
from durable_async.testing.execution import FinishedExecution
from durable_async.testing.faults import When
from durable_async.testing.hash_seeds import importable, replay_with_seed
from durable_async.testing.ledger import Effect, Ledger
from durable_async.testing.operations import exported
from durable_async.testing.report import Exploration, Fault, Problem, place_in_code
from durable_async.testing.running import answer_callbacks, check_all_used, finished
from durable_async.testing.service import ServiceOptions, TestService, Watch
from durable_async.testing.virtual_time import VirtualTime
from durable_async.testing.watch import Call, check_ignored, watching

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

_Plan = Callable[[TestService[Never, object]], object]

_TIMINGS = 4  # runs with the tasks' timing changed
_PREFIXES = 20  # of the finished record, that are replayed with each hash seed
_INTERRUPTED = "StepInterruptedError"


async def explore(
    handler: DurableHandler[EventT, ResultT],
    event: EventT,
    *others: AnyHandler | PlainFunction,
    callbacks: Mapping[str, object] | None = None,
    ledger: Ledger | None = None,
    prepare: Callable[[TestService[EventT, ResultT]], object] | None = None,
    ignore: Collection[str] = (),
    max_runs: int = 200,
    seed: int = 0,
    hash_seeds: Sequence[int] = (1, 2),
    **options: Unpack[ServiceOptions],
) -> Exploration:
    """Prove that an execution of ``handler`` survives every crash, or report what goes wrong.

    Each run is an execution in virtual time, in this process and on the running loop.

    :param others: what the handler may invoke
    :param callbacks: answers by the name of the callback: an exception is a failure, any other value a result. A
        callback without an answer times out
    :param ledger: the effects that the test's fakes write down. It is cleared before each run
    :param prepare: called with the service before each run: to replace steps, and to reset the test's fakes
    :param ignore: import names of packages or modules, such as ``"pydantic_ai"``. If their code reads the clock, draws
        a random value and so on in the workflow, directly or through other libraries, that is not reported. What your
        functions do that they call is still reported
    :param max_runs: of executions; a larger workflow is explored at boundaries that ``seed`` chooses
    :param seed: of that choice, and of the changes of timing
    :param hash_seeds: of the processes in which the record is replayed; each takes about a second
    :param options: of :class:`~durable_async.testing.TestService`
    :raises AssertionError: a name in ``callbacks`` or ``prepare`` is not one of the workflow's
    :raises ValueError: ``ignore`` names a package that does not exist
    """
    check_ignored(ignore)
    explorer = _Explorer(handler, event, others, callbacks or {}, ledger or Ledger(), prepare, ignore, options)
    rng = random.Random(seed)  # noqa: S311 - to be the same in each run
    with _only_new_garbage():
        first = await explorer.explore(max_runs, rng)
    await explorer.replay(first, hash_seeds, rng)
    findings = explorer.findings.problems
    return Exploration(findings, explorer.runs, explorer.checkpoints, explorer.skipped, first.describe())


def _delay(rng: random.Random, service: TestService[Never, object]) -> None:
    service.delay_calls(rng)


def _crash(number: int, when: When, service: TestService[Never, object]) -> None:
    service.crash_at_checkpoint(number, when=when)


@attrs.frozen
class _Run:
    execution: FinishedExecution[object]
    effects: Sequence[Effect]
    checkpoints: int

    def outcome(self) -> tuple[object, ...]:
        """Return what must be the same in each run."""
        details = next(each.details for each in reversed(self.execution.events) if each.type.is_end_of_execution())
        error: ErrorObject = details.get("Error") or ErrorObject()
        return (self.execution.status, details.get("Result"), error.get("ErrorType"), error.get("ErrorMessage"))

    def describe(self) -> str:
        status, result, kind, message = self.outcome()
        return f"{status} with {result}" if kind is None and message is None else f"{status} with {kind}: {message}"

    def was_interrupted(self) -> bool:
        """Return whether a crash hit an at-most-once step, whose outcome the workflow then cannot know."""
        return any(
            str(error.get("ErrorType")).endswith(_INTERRUPTED)
            for operation in self.execution.operations
            for error in operation.attempt_errors
        )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _place_of(effect: Effect) -> str:
    file, _, line = effect.where.rpartition(":")
    return place_in_code(file, int(line))


_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+")


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Compare two outcomes, but for fractions of a second: a crash takes microseconds, which ctx.now() tells of."""
    return _FRACTION.sub(r"\1", repr(one)) == _FRACTION.sub(r"\1", repr(other))


@attrs.define
class _Findings:
    """Collects the problems of all runs."""

    problems: list[Problem] = attrs.field(factory=list[Problem])
    _seen: set[tuple[Fault, str]] = attrs.field(factory=set[tuple[Fault, str]])

    def add_effects(self, run: _Run, first: _Run | None, label: str) -> None:
        for effect in run.effects:
            if effect.step is None:
                message = f"{effect.what!r} happened outside of a step. Do it in a step.\n{_place_of(effect)}"
                self.add(Fault.EFFECT_OUTSIDE_STEP, message, label)
        if first is None:
            return
        before = Counter((effect.what, effect.operation_id) for effect in first.effects if effect.step is not None)
        now = Counter((effect.what, effect.operation_id) for effect in run.effects if effect.step is not None)
        for effect in run.effects:
            key = (effect.what, effect.operation_id)
            if effect.step is not None and now[key] > before[key] > 0:
                self.add(
                    Fault.NOT_IDEMPOTENT,
                    f"Step {effect.step!r} did {effect.what!r} {_times(now[key])}, and in the first run "
                    f"{_times(before[key])}. Send current_step().idempotency_key along, or make the step at most "
                    f"once.\n{_place_of(effect)}",
                    label,
                    once=f"{effect.step} {effect.where}",
                )

    def add(
        self, fault: Fault, message: str, run: str, first: str = "", other: str = "", *, once: str | None = None
    ) -> None:
        """Add a problem, unless there is one with the same ``once`` (None: the same message)."""
        key = (fault, message if once is None else once)
        if key not in self._seen:
            self._seen.add(key)
            self.problems.append(Problem(fault, message, run, first, other))

    def ran_again(self, call: ObservedCall, label: str) -> None:
        self.add(Fault.RAN_AGAIN, f"The body of {call.name!r} ran although its end is recorded.", label)

    def ran_twice(self, call: ObservedCall, attempt: int, label: str) -> None:
        self.add(
            Fault.RAN_TWICE, f"Attempt {attempt} of {call.name!r} began twice after its start was recorded.", label
        )

    def swallowed(self, handler: AnyHandler, how: str, label: str) -> None:
        code: CodeType = inspect.unwrap(handler.workflow).__code__
        where = place_in_code(code.co_filename, code.co_firstlineno, code.co_name)
        self.add(
            Fault.SWALLOWED_CANCELLATION,
            f"{code.co_name} {how} although it was cancelled, as it is when it suspends and when its process dies. "
            f"Code that catches CancelledError or BaseException has to raise it again.\n{where}",
            label,
        )


@attrs.define
class _Explorer(Generic[EventT, ResultT]):
    handler: DurableHandler[EventT, ResultT]
    event: EventT
    others: Sequence[AnyHandler | PlainFunction]
    callbacks: Mapping[str, object]
    ledger: Ledger
    prepare: Callable[[TestService[EventT, ResultT]], object] | None
    ignore: Collection[str]
    options: ServiceOptions
    findings: _Findings = attrs.field(factory=_Findings)
    runs: int = 0
    checkpoints: int = 0
    skipped: list[str] = attrs.field(factory=list[str])
    depends_on_timing: bool = False

    async def explore(self, max_runs: int, rng: random.Random) -> _Run:
        calls: dict[Call, None] = {}
        with watching(calls, self.ignore):
            first = await self._run("the first run")
        for call in calls:
            self.findings.add(Fault.UNSTABLE_CALL, str(call), "the first run")
        self.findings.add_effects(first, None, "the first run")
        self.checkpoints = first.checkpoints
        await self._compare(first, "a run that stays in memory", lambda _: None, replay_each_invocation=False)
        for number in range(_TIMINGS):
            delays = random.Random(rng.random())  # noqa: S311 - as above
            await self._time_otherwise(first, f"a run with other timing ({number + 1})", delays)
        if self.depends_on_timing:
            self.skipped.append("outcomes after crashes: they depend on which of the workflow's tasks is faster")
        whens: tuple[When, ...] = ("before", "after")
        boundaries: list[tuple[int, When]] = [(n, when) for n in range(1, first.checkpoints + 1) for when in whens]
        if len(boundaries) > max_runs - self.runs:
            chosen = sorted(rng.sample(boundaries, max(0, max_runs - self.runs)))
            self.skipped.append(
                f"{len(boundaries) - len(chosen)} of {len(boundaries)} crashes, for max_runs={max_runs}"
            )
            boundaries = chosen
        for n, when in boundaries:
            await self._compare(
                first,
                f"a run with a crash {when} checkpoint {n} is recorded",
                partial(_crash, n, when),
            )
        return first

    async def replay(self, first: _Run, hash_seeds: Sequence[int], rng: random.Random) -> None:
        """Replay the finished record here, and beginnings of it in other processes."""
        arn, events = first.execution.arn, [*first.execution.events]
        await self._replay(first, "a replay of the finished record")
        where = importable(self.handler)
        if where is None:
            self.skipped.append("other hash seeds: the handler is not at the top of a module that can be imported")
            return
        lengths = range(1, len(events) + 1)
        chosen = sorted({*rng.sample(lengths, min(_PREFIXES, len(lengths))), len(events)})
        histories = [exported(arn, events[:length]) for length in chosen]
        problems = await asyncio.gather(*(replay_with_seed(where, histories, seed) for seed in hash_seeds))
        for seed, problem in zip(hash_seeds, problems, strict=True):
            if problem is not None:
                label = f"a replay in another process, with PYTHONHASHSEED={seed}"
                self.findings.add(Fault.NON_DETERMINISM, problem, label, once="another process")

    async def _replay(self, run: _Run, label: str) -> None:
        with _warnings(), VirtualTime():
            report = await replay(self.handler, [*run.execution.events], execution_arn=run.execution.arn)
        if not report.passed:
            self.findings.add(Fault.NON_DETERMINISM, str(report), label, once=Fault.NON_DETERMINISM)

    # --- runs ---

    async def _time_otherwise(self, first: _Run, label: str, delays: random.Random) -> None:
        """Run with other timing of the tasks. The outcome of a race may change with that; each record must replay."""
        run = await self._run(label, partial(_delay, delays))
        self.findings.add_effects(run, first, label)
        if not _same(run.outcome(), first.outcome()) and not run.was_interrupted():
            self.depends_on_timing = True
        await self._replay(run, f"a replay of {label}")

    async def _run(self, label: str, plan: _Plan | None = None, **changed: Unpack[ServiceOptions]) -> _Run:
        """Run an execution.

        :param plan: the faults of this run; None: it is the first run, in which all that the test names has to happen
        """
        self.runs += 1
        options: ServiceOptions = {**self.options, **changed}
        self.ledger.clear()
        with _warnings() as unawaited, _log() as logged:
            async with TestService(self.handler, *self.others, **options) as service:
                service.watch = _Witness(self.findings, self.handler, label)
                if self.prepare is not None:
                    self.prepare(service)
                if plan is not None:
                    plan(service)
                execution = await service.start(self.event)
                unused = await answer_callbacks(service, execution, self.callbacks)
                done = await finished(execution)
                checkpoints = service.checkpoints
                if plan is None:
                    check_all_used(execution, unused)
                else:
                    service.forget_faults()  # a run that took another way may not have come to its crash
            gc.collect()  # so that a coroutine that nobody awaited is noticed now
        for message in unawaited:
            self.findings.add(Fault.MISSING_AWAIT, message, label)
        for message in logged:
            self.findings.add(Fault.SWALLOWED_CANCELLATION, message, label)
        error = done.error
        if error is not None and str(error.error_type).endswith(ContextMisuseError.__name__):
            self.findings.add(Fault.MISSING_AWAIT, error.message, label)
        return _Run(done, [*self.ledger.effects], checkpoints)

    async def _compare(self, first: _Run, label: str, plan: _Plan, **changed: Unpack[ServiceOptions]) -> None:
        run = await self._run(label, plan, **changed)
        self.findings.add_effects(run, first, label)
        if _same(run.outcome(), first.outcome()) or run.was_interrupted():
            return
        error = run.execution.error
        diverged = error is not None and str(error.error_type).endswith(NonDeterminismError.__name__)
        if self.depends_on_timing and not diverged:
            return
        fault = Fault.NON_DETERMINISM if diverged else Fault.OUTCOME_CHANGED
        message = f"The first run ended as {first.describe()}, this one as {run.describe()}."
        self.findings.add(fault, message, label, first.execution.history, run.execution.history, once=fault)


class _Witness(Watch):
    """Adds what goes wrong in the invocations of one run to the findings."""

    def __init__(self, findings: _Findings, handler: AnyHandler, label: str) -> None:
        super().__init__()
        self._findings = findings
        self._handler = handler
        self._label = label
        self._begun: Counter[tuple[str, str, int]] = Counter()

    def began(self, invocation: Invocation, call: ObservedCall, attempt: int | None) -> None:
        record = invocation.journal.record.get(call.id)
        if attempt is None or record is None:
            return
        if record["Status"] in TERMINAL:
            self._findings.ran_again(call, self._label)
        elif record["Status"] == OperationStatus.STARTED:
            # The start of an at-most-once attempt is recorded before its body begins; others begin at once.
            place = (invocation.execution_arn, call.id, attempt)
            self._begun[place] += 1
            if self._begun[place] == 2:
                self._findings.ran_twice(call, attempt, self._label)

    def ended(self, invocation: Invocation, error: BaseException | None) -> None:
        if not invocation.journal.refuses or isinstance(error, asyncio.CancelledError | NonDeterminismError):
            return
        how = "returned" if error is None else f"raised {type(error).__name__}"
        self._findings.swallowed(self._handler, how, self._label)


@contextmanager
def _only_new_garbage() -> Generator[None]:
    """Let the garbage collector see only what is made inside: no coroutine of the program before is then found among
    the workflow's, and a collection after each run does not walk through all that pytest has imported."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _warnings() -> Generator[list[str]]:
    """Collect the warnings about coroutines that were never awaited."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for warning in caught:
        text = str(warning.message)
        if issubclass(warning.category, RuntimeWarning) and "was never awaited" in text:
            found.append(f"{text.splitlines()[0]}.\n{place_in_code(warning.filename, warning.lineno)}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class _Abandoned(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if "abandoned a task" in str(record.msg):
            self._found.append(record.getMessage().partition(": ")[2])


@contextmanager
def _log() -> Generator[list[str]]:
    """Collect what the SDK says about tasks that do not end, and keep the failures of workflows out of the log."""
    found: list[str] = []
    logger = logging.getLogger("durable_async")
    handler, propagate = _Abandoned(found), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)
