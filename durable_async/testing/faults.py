"""Faults on purpose: crashes, lost replies, throttling, duplicated invocations.

They happen where they happen in production: between the SDK and the service, and around the functions of steps. No code
under test is patched.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Literal, Never, TypeVar

import attrs

from durable_async._engine.invocation import Invocation
from durable_async._engine.observer import ObservedCall
from durable_async._wire.envelope import Envelope, Output
from durable_async._wire.operations import CheckpointResult, ExecutionState, Operation, OperationUpdate
from durable_async.errors import ServiceCallError
from durable_async.handler import DurableHandler
from durable_async.service.functions.base import InvocationFailed
from durable_async.testing.outcomes import Outcomes
from durable_async.transport.base import DurableServiceClient

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

_MAX_TURNS = 8

When = Literal["before", "after"]
"""``"before"``: what is about to happen does not happen. ``"after"``: it has happened, and no answer comes back."""


@attrs.define
class _Crash:
    """:ivar attempt: None: whichever comes"""

    name: str
    attempt: int | None
    when: When


@attrs.define
class Faults:
    """Holds the faults that are planned. Each happens once.

    :ivar replaced: by the name of a step or a child context
    :ivar functions: by the name with which they are invoked
    :ivar ran: the names of the steps, conditions and child contexts that began, in order
    :ivar checkpoints: how many checkpoint calls there were
    :ivar invocations: how many invocations there were
    :ivar happened: how many of the faults have happened
    :ivar delays: draws for how many turns of the loop each function and each reply of the service is held up; None: for
        none
    """

    replaced: dict[str, Outcomes] = attrs.field(factory=dict[str, Outcomes])
    functions: dict[str, Outcomes] = attrs.field(factory=dict[str, Outcomes])
    ran: dict[str, None] = attrs.field(factory=dict[str, None])
    checkpoints: int = 0
    invocations: int = 0
    happened: int = 0
    delays: Random | None = None
    _crashes: list[_Crash] = attrs.field(factory=list[_Crash])
    _at_checkpoint: dict[int, When] = attrs.field(factory=dict[int, When])
    _lost_replies: set[int] = attrs.field(factory=set[int])
    _throttled: Counter[int] = attrs.field(factory=Counter[int])
    _duplicated: set[int] = attrs.field(factory=set[int])

    def crash_in(self, name: str, attempt: int | None, when: When) -> None:
        self._crashes.append(_Crash(name, attempt, _checked(when)))

    def crash_at_checkpoint(self, number: int, when: When) -> None:
        self._at_checkpoint[_positive(number)] = _checked(when)

    def lose_reply(self, number: int) -> None:
        self._lost_replies.add(_positive(number))

    def throttle(self, number: int, times: int) -> None:
        self._throttled[_positive(number)] = times

    def duplicate_invocation(self, number: int) -> None:
        self._duplicated.add(_positive(number))

    def clear(self) -> None:
        """Forget the faults that have not happened. Replacements stay, and need not be used."""
        for replaced in (*self.replaced.values(), *self.functions.values()):
            replaced.optional = True
        for faults in (self._crashes, self._at_checkpoint, self._lost_replies, self._throttled, self._duplicated):
            faults.clear()

    async def delay(self) -> None:
        """Let other tasks run first, as ``delays`` says."""
        if self.delays is not None:
            for _ in range(self.delays.randrange(_MAX_TURNS)):
                await asyncio.sleep(0)

    def waiting(self) -> list[str]:
        """Return the faults that have not happened, in words."""
        return [
            *(f"crash_in({each.name!r}, when={each.when!r})" for each in self._crashes),
            *(f"crash_at_checkpoint({number}, when={when!r})" for number, when in self._at_checkpoint.items()),
            *(f"lose_reply({number})" for number in self._lost_replies),
            *(f"throttle({number})" for number, times in self._throttled.items() if times > 0),
            *(f"duplicate_invocation({number})" for number in self._duplicated),
        ]

    def never_happened(self) -> str | None:
        """Return a sentence about the faults and replacements that were planned and did not happen; None: all did."""
        told = [
            *(f"replace({name!r})" for name, outcomes in self.replaced.items() if outcomes.is_unused()),
            *(f"replace_function({name!r})" for name, outcomes in self.functions.items() if outcomes.is_unused()),
            *self.waiting(),
        ]
        if not told:
            return None
        names = ", ".join(map(repr, self.ran)) or "none"
        return (
            f"these did not happen: {', '.join(told)}. Is a name misspelt? These steps, conditions and child contexts "
            f"ran: {names}. If a replacement need not be used, write optional=True"
        )

    # --- for the handler ---

    def began(self, name: str | None) -> None:
        """Note that a user's function is about to be called."""
        if name is not None:
            self.ran[name] = None

    def takes_crash(self, name: str | None, attempt: int | None, when: When) -> bool:
        for crash in self._crashes:
            if crash.name == name and crash.when == when and crash.attempt in (None, attempt):
                self._crashes.remove(crash)
                self.happened += 1
                return True
        return False

    def takes_checkpoint(self) -> tuple[int, When | None]:
        """Count a checkpoint call; return its number, from 1, and where to crash in it."""
        self.checkpoints += 1
        when = self._at_checkpoint.pop(self.checkpoints, None)
        self.happened += when is not None
        return self.checkpoints, when

    def takes_lost_reply(self, number: int) -> bool:
        lost = number in self._lost_replies
        self._lost_replies.discard(number)
        self.happened += lost
        return lost

    def takes_throttle(self) -> bool:
        """Ask before the call that would be the next one; a call that is throttled is not counted."""
        following = self.checkpoints + 1
        if self._throttled[following] <= 0:
            return False
        self._throttled[following] -= 1
        self.happened += 1
        return True

    def takes_invocation(self) -> bool:
        """Count an invocation; return whether it is to be delivered twice."""
        self.invocations += 1
        twice = self.invocations in self._duplicated
        self._duplicated.discard(self.invocations)
        self.happened += twice
        return twice


def _checked(when: When) -> When:
    if when not in ("before", "after"):
        raise ValueError(f'when must be "before" or "after", not {when!r}')
    return when


def _positive(number: int) -> int:
    if number < 1:
        raise ValueError(f"calls and invocations are numbered from 1, and {number} was given")
    return number


class Witness:
    """Follows what happens in the invocations of a handler. Its methods do nothing; subclasses override them."""

    def invoked(self, envelope: Envelope) -> None:
        """Note that an invocation begins."""

    def left(self, envelope: Envelope, answer: Output | None) -> None:
        """Note that an invocation has ended; ``answer`` is None if it crashed or raised."""

    def ended(self, invocation: Invocation, error: BaseException | None) -> None:
        """Note that the workflow's own coroutine returned (``error`` is None), or raised ``error``."""

    def answered(self, arn: str, operations: Sequence[Operation]) -> None:
        """Note that the service accepted a checkpoint and answered with these operations."""

    def began(self, invocation: Invocation, call: ObservedCall, attempt: int | None) -> None:
        """Note that a user's function is about to be called.

        :param attempt: of a step or condition, from 1; None: the function of a context
        """


class Life:
    """A process that runs one invocation and may die."""

    def __init__(self) -> None:
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        return self._death.done()

    async def die(self) -> Never:
        """End the invocation: nothing after this runs, and the service gets no answer."""
        if not self._death.done():
            self._death.set_result(None)
        while True:
            await asyncio.get_running_loop().create_future()

    async def outlived(self, work: Awaitable[Output]) -> Output:
        """Return the answer of ``work``.

        :raises InvocationFailed: the process died first
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._death), return_when=asyncio.FIRST_COMPLETED)
            if not self.is_over:
                return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # asyncio logs what nobody asked for: an error of the moment of death, a SystemExit
        raise InvocationFailed({"ErrorType": "Runtime.ExitError", "ErrorMessage": "the process crashed, as planned"})


class _Client:
    """The client through which the SDK calls the service. Its calls fail as planned."""

    def __init__(self, client: DurableServiceClient, life: Life, faults: Faults, witness: Witness) -> None:
        self._client = client
        self.life = life
        self._faults = faults
        self._witness = witness
        self.attempts: dict[str, int | None] = {}  # the latest, by operation

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        faults = self._faults
        if self.life.is_over:
            await self.life.die()
        if faults.takes_throttle():
            raise ServiceCallError("CheckpointDurableExecution", "Rate exceeded", "TooManyRequestsException", 429)
        number, crash = faults.takes_checkpoint()
        if crash == "before" or any(self._is_after_body(update) for update in updates):
            await self.life.die()
        result = await self._client.checkpoint(execution_arn, token, updates, client_token)
        if faults.takes_lost_reply(number):  # the transport repeats the call with the same client token
            result = await self._client.checkpoint(execution_arn, token, updates, client_token)
        await faults.delay()
        self._witness.answered(execution_arn, result["NewExecutionState"]["Operations"])
        if crash == "after":
            await self.life.die()
        return result

    def _is_after_body(self, update: OperationUpdate) -> bool:
        """Return whether the update ends an operation that has to crash after its body."""
        ends = update["Action"] in ("SUCCEED", "FAIL", "RETRY")
        return ends and self._faults.takes_crash(update.get("Name"), self.attempts.get(update["Id"]), "after")

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        if self.life.is_over:
            await self.life.die()
        return await self._client.get_state(execution_arn, token, marker)


def _of_deliveries(answers: Sequence[Output | BaseException]) -> Output:
    """Return the answer of an invocation that was delivered once or twice. Of two, one lost its token to the other: it
    answers PENDING, which is ignored."""
    given = [answer for answer in answers if not isinstance(answer, BaseException)]
    for answer in given:
        if answer["Status"] != "PENDING":
            return answer
    for failed in answers:
        if isinstance(failed, BaseException):
            raise failed
    return given[0]


class TestedHandler(DurableHandler[EventT, ResultT]):
    """A handler whose invocations fail as :class:`Faults` says, and are reported to a :class:`Witness`."""

    __test__ = False
    _faults: Faults
    _find_witness: Callable[[], Witness]

    @property
    def _witness(self) -> Witness:
        return self._find_witness()

    @classmethod
    def of(
        cls, handler: DurableHandler[EventT, ResultT], faults: Faults, witness: Callable[[], Witness]
    ) -> TestedHandler[EventT, ResultT]:
        tested = cls.__new__(cls)
        vars(tested).update(vars(copy.copy(handler)))
        tested._faults, tested._find_witness = faults, witness  # noqa: SLF001 - of our own kind
        return tested

    async def answer(self, invocation: Invocation, envelope: Envelope) -> Output:
        deliveries = [invocation]
        if self._faults.takes_invocation():
            client = invocation.journal.flusher.client
            deliveries.append(self.invocation(envelope, client, invocation.journal.lambda_context))
        self._witness.invoked(envelope)
        given: Output | None = None
        try:
            answers = await asyncio.gather(*(self._live(each, envelope) for each in deliveries), return_exceptions=True)
            given = answer = _of_deliveries(answers)
        finally:
            self._witness.left(envelope, given)
        return answer

    async def _live(self, invocation: Invocation, envelope: Envelope) -> Output:
        life = Life()
        client = _Client(invocation.journal.flusher.client, life, self._faults, self._witness)

        async def substitute(
            call: ObservedCall, attempt: int | None, body: Callable[[], object], run: Callable[[], Awaitable[object]], /
        ) -> object:
            self._witness.began(invocation, call, attempt)
            self._faults.began(call.name)
            client.attempts[call.id] = attempt
            await self._faults.delay()
            if self._faults.takes_crash(call.name, attempt, "before"):
                await life.die()
            replaced = self._faults.replaced.get(call.name or "")
            return await (run() if replaced is None else replaced.next(body))

        invocation.journal.flusher.client, invocation.journal.substitute = client, substitute
        return await life.outlived(super().answer(invocation, envelope))

    async def _answer(self, payload: str | None, invocation: Invocation) -> str:
        error: BaseException | None = None
        try:
            return await super()._answer(payload, invocation)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._witness.ended(invocation, error)
