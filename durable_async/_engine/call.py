"""A durable call: its identity, and what an operation does with its record.

The verbs of an operation: ``read`` the record, ``post`` and ``commit`` updates of it, ``wait`` for a change of it, and
enter ``running`` around what a suspension must not cut short. Each of them asks first whether the operation may go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NoReturn, TypeVar, TypeVarTuple, Unpack, cast

from durable_async._engine.branches import Branch, Claim
from durable_async._engine.isolation import coroutines_of
from durable_async._engine.journal import Journal
from durable_async._engine.order import Place
from durable_async._engine.phases import Phase
from durable_async._engine.tasks import Coro, Task
from durable_async._wire.cancellation import CANCELLATION, delivered
from durable_async._wire.limits import PAYLOAD_BYTES
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    ErrorObject,
    Operation,
    OperationStatus,
    OperationType,
    OperationUpdate,
    SubType,
    UpdateDetails,
)
from durable_async._wire.text import utf8_size
from durable_async._wire.timestamps import end_microseconds
from durable_async.errors import (
    ExecutionCancelledError,
    NonDeterminismError,
    OperationError,
    OperationLabel,
    PayloadTooLargeError,
    ServiceCallError,
)

E = TypeVar("E", bound=OperationError)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_NOT_ENDED = (OperationStatus.STARTED, OperationStatus.READY)


class BlockExpired(asyncio.CancelledError):
    """The cancellation of code that continues in a block whose deadline has passed. Nobody cancelled its task."""


class Call(Claim):
    """One call of an operation. It claimed its identity when the operation was called, and begins when it is awaited.

    :ivar running: entered while something of this call runs that a suspension must not cut short
    """

    __slots__ = (  # a value that only the class has, as a default, is found slowly
        "_asked",
        "_end",
        "_ended_at",
        "_has_rested",
        "_place",
        "journal",
        "kind",
        "name",
        "running",
        "scope",
        "subtype",
    )

    def __init__(  # noqa: PLR0917 - on the path of each operation: names cost time
        self,
        journal: Journal,
        branch: Branch,
        operation_id: str,
        kind: OperationType,
        subtype: SubType,
        name: str | None,
        number: int = 0,
    ) -> None:
        self.journal = journal
        self.running: AbstractContextManager[None] = journal.activity
        self.branch = branch
        self.scope = branch.scope
        self.id = operation_id
        self.kind = kind
        self.subtype = subtype
        self.name = name
        self.number = number
        self.coroutine = None
        self.caller = None
        self.instruction = 0
        self._asked: int | None = None  # see Place; None: the end is not the workflow's to see
        self._end: Operation | None = None
        self._ended_at: int = 0
        self._place: Place | None = None
        self._has_rested: bool = False

    def __str__(self) -> str:
        return f"{self.subtype} {self.name!r}" if self.name else f"{self.subtype} {self.id[:8]}"

    async def perform(self, operation: Callable[[Call, *Ts], Coro[T]], *args: *Ts) -> T:
        """Await ``operation(self, *args)``, and return or raise when its end has its turn in the order. Call this once:
        for a second wait for the same operation, use what ``again`` returns."""
        self.coroutine = None
        scope = self.scope
        order, unstarted = scope.order, scope.unstarted
        unstarted.pop(self, None)
        if not unstarted:
            unstarted.clear()  # which frees its table: thousands of contexts may each have one call going on
        self._asked = order.handed_over
        try:
            result = await operation(self, *args)
        except Exception:
            await self.hand_over()
            raise
        except BaseException:
            if self._place is not None:
                self._place.withdraw()
            raise
        if self._place is not None:
            await self.hand_over()
        else:  # the same, without a call
            order.latest = max(order.latest, self._ended_at)
            if (record := self.journal.record).ends_left and self._end is not None:
                record.visit(self._end)
        return result

    def again(self, branch: Branch) -> Call:
        """Return a call of the same operation for another wait for its end."""
        return Call(self.journal, branch, self.id, self.kind, self.subtype, self.name, self.number)

    def ended(self, operation: Operation) -> None:
        """Take a place in the order for the end of the operation. Call this as soon as the record has the end."""
        if self._end is not None:
            return
        self._end = operation
        at = end_microseconds(operation) or 0
        if self.scope.order.is_single:
            self._ended_at = at
        else:
            self.happened(at)

    def happened(self, at: int) -> None:
        """Take a place in the order for something that the workflow sees of an operation before it ends.

        :param at: epoch microseconds, as recorded
        """
        order = self.scope.order
        self._ended_at = at
        if not order.is_single:
            asked = order.handed_over if self._asked is None else self._asked
            self._place = order.take_place(at, self.number, self, asked)

    async def hand_over(self) -> None:
        """Wait until the place that ``ended`` or ``happened`` took has its turn."""
        if (place := self._place) is not None:
            try:
                await self.journal.activity.expect(place)
            finally:
                place.withdraw()
            self._place = None
        order = self.scope.order
        order.latest = max(order.latest, self._ended_at)
        if self._end is not None:
            self.journal.record.visit(self._end)

    async def read(
        self, *, start: bool = False, at_once: bool = False, until_expired: bool = False
    ) -> Operation | None:
        """Wait until the call may go on, and return the operation as it is recorded; None: it is new.

        :param start: True: the workflow will see only that the operation has started. False: it will see the end
        :param at_once: False: before an operation begins, recorded ends are handed over that may cancel the calling
            task. True: begin at once
        :param until_expired: True: go on until the workflow sees that the deadline of a block around it has passed. A
            replay may be at a place before that, of which the record shows nothing. False: begin nothing new as soon as
            the deadline has passed on record
        :raises NonDeterminismError: another operation is recorded in its place
        :raises ExecutionCancelledError: this is the call at which the workflow learns that it is cancelled
        :raises asyncio.CancelledError: the invocation is ending; or the operation has not ended, and the deadline of
            a block around it has passed
        """
        journal, record, scope = self.journal, self.journal.record, self.scope
        while True:  # after each wait all of it is asked again
            if journal.refuses or (scope.parent is not None and scope.is_closed()):  # the root is never closed
                await journal.refuse()
            operation = record.get(self.id)
            has_ended = operation is not None and operation["Status"] in TERMINAL
            if has_ended and journal.phase is not Phase.CACHED:
                break
            if journal.phase is Phase.RUNNING and record.is_settled and record.loading is None:
                break
            if not await self._had_to_wait(operation, at_once=at_once):
                break
        if operation is not None:
            self._compare(operation)
            if journal.observer is not None:
                journal.observer.reached(operation)
        if record.cancellation is not None:
            await self._deliver_cancellation(operation, start=start)
        if operation is not None and (start or has_ended):
            if self._asked is not None and not start:
                self.ended(operation)
        elif (
            scope.has_deadline
            and (scope.is_expired() if until_expired else scope.will_expire())
            and not (operation and self.kind is OperationType.CONTEXT)
        ):
            await self._refuse_expired()  # a context that began before it may hold ends from before the deadline
        return operation

    async def _had_to_wait(self, operation: Operation | None, *, at_once: bool) -> bool:
        """Wait for something that must happen before the operation may go on. Return True if there was such a thing,
        and the caller must look again; False if there was none."""
        journal = self.journal
        at_once = at_once or self.kind is OperationType.CONTEXT  # the time in which begins with that of the call
        if operation is None and (loading := journal.record.loading) is not None:
            await asyncio.shield(loading)
        elif journal.phase is Phase.CACHED or (journal.phase is Phase.DRAINING and self._begins(operation)):
            await journal.admitted()
        elif not (at_once or self._has_rested) and self._begins(operation) and self._may_be_cancelled():
            self._has_rested = True
            await self._rest()
        else:
            self._has_rested = False
            return False
        return True

    def recorded(self) -> Operation | None:
        """Return the operation as it is recorded, whether the call may go on with it or not."""
        return self.journal.record.get(self.id)

    def forget(self) -> None:
        """Note that the workflow gets this end in another way, and will not ask for it."""
        operation = self.recorded()
        if operation is not None and operation["Status"] in TERMINAL:
            self.journal.record.visit(operation)

    async def _deliver_cancellation(self, operation: Operation | None, *, start: bool) -> None:
        """Tell the workflow that it is cancelled: at the call where an earlier invocation did so, or else at the first
        call that is new, or that waits for something and is not a context.

        :raises ExecutionCancelledError: this is the call
        """
        record = self.journal.record
        cancellation = record.cancellation
        if cancellation is None or cancellation.delivered:
            return
        goes_on = start or self.kind is OperationType.CONTEXT or (operation and operation["Status"] in TERMINAL)
        if cancellation.at != self.id and (cancellation.at is not None or (operation is not None and goes_on)):
            return
        cancellation.delivered = True
        if cancellation.at is None:
            update: OperationUpdate = {
                "Id": CANCELLATION,
                "Type": OperationType.STEP,
                "SubType": SubType.STEP.value,
                "Name": CANCELLATION,
                "Action": Action.SUCCEED,
                "Payload": delivered(cancellation.reason, self.id),
            }
            await self.journal.flusher.commit(update)
        self.forget()
        recorded = record.get(CANCELLATION)
        if recorded is not None:
            self.ended(recorded)  # so that it has its turn among the ends of other operations
            if self._asked is None:  # otherwise ``perform`` does it
                await self.hand_over()
        raise ExecutionCancelledError(cancellation.reason)

    def post(self, action: Action, **details: Unpack[UpdateDetails]) -> None:
        """Record with the next checkpoint, and return at once."""
        if self.journal.observer is not None and action is Action.START:
            self.journal.observer.starting(self)
        self.journal.flusher.post(self._update(action, details))

    async def commit(self, action: Action, **details: Unpack[UpdateDetails]) -> Operation:
        """Record, wait until the service has accepted it, and return the operation as the service has it then.

        If the service does not return the operation, the invocation ends and is repeated: the workflow must not take
        that for an error of the operation, which is on record.
        """
        journal, scope = self.journal, self.scope
        if not journal.record.is_settled and self._may_be_cancelled():
            await self._rest()
        if journal.refuses or (scope.parent is not None and scope.is_closed()):
            await journal.refuse()  # the body took its cancellation for something to recover from
        if (observer := journal.observer) is not None:
            if not observer.passes(self, action):
                await self.stop()
            if action is Action.START:
                observer.starting(self)
        await journal.flusher.commit(self._update(action, details))
        operation = journal.record.get(self.id)
        if operation is None:
            await journal.fail(
                ServiceCallError("checkpoint", f"the service accepted {action} of {self} and did not return it")
            )
        if self._asked is not None and operation["Status"] in TERMINAL:
            self.ended(operation)
        return operation

    async def stop(self) -> NoReturn:
        """Wait for the end of the invocation. A replay that must not go beyond the record stops here: what would happen
        now is not on record."""
        while True:
            await self.journal.changed(self.id, self.recorded(), None)

    def _begins(self, operation: Operation | None) -> bool:
        """Return whether something is about to begin: an operation that is new, or the body of a step. False for a
        context on record: what has ended in it must not reach the workflow after later ends outside of it."""
        return operation is None or (self.kind is OperationType.STEP and operation["Status"] in _NOT_ENDED)

    def _may_be_cancelled(self) -> bool:
        """Return whether a recorded end, of another task, may cancel what is about to be done, as it did when it was
        recorded."""
        record = self.journal.record
        if self.scope.is_single():
            record.settle()  # there is no other task
            return False
        return not record.is_settled

    async def _rest(self) -> None:
        """Let recorded ends that may be handed over now have their effect."""
        await self.journal.activity.rested()
        self.journal.record.settle()

    async def wait(self, seen: Operation | None, due: float | None = None) -> None:
        """Wait until the record has another state of the operation than ``seen``, which the caller has read.

        :param due: when the service should have something new, in epoch seconds; None: only the outside world knows
        """
        cancellation = self.journal.record.cancellation
        if cancellation is not None and not cancellation.delivered and cancellation.at in (None, self.id):
            return  # it came with the answer to this operation's own start: the next read delivers it
        await self.journal.changed(self.id, seen, due)

    def sized(self, payload: str) -> str:
        """Return ``payload``.

        :raises PayloadTooLargeError: it is larger than the service accepts
        """
        if len(payload) * 4 > PAYLOAD_BYTES and (size := utf8_size(payload)) > PAYLOAD_BYTES:
            raise PayloadTooLargeError(str(self), size, PAYLOAD_BYTES)
        return payload

    def error_object(self, error: BaseException, *, named: str | None = None) -> ErrorObject:
        """Return what is recorded of ``error``.

        :param named: its type in the record; None: the name of its class
        """
        from durable_async._engine.error_objects import error_object  # most invocations record no error

        return error_object(error, of=str(self), named=named)

    def failure(self, cls: type[E], error: ErrorObject) -> E:
        """Return the error of class ``cls`` that the workflow gets for the recorded one."""
        from durable_async._engine.error_objects import recorded_error

        return recorded_error(cls, error, self.id, self.name)

    def _update(self, action: Action, details: UpdateDetails) -> OperationUpdate:
        update: OperationUpdate = {
            "Id": self.id,
            "Type": self.kind,
            "SubType": self.subtype._value_,  # plain, because a service in this process stores it as it is
            "Action": action,
            **details,  # type: ignore[typeddict-item]
        }
        if self.name is not None:
            update["Name"] = self.name
        if self.scope.id is not None:
            update["ParentId"] = self.scope.id
        return update

    def _compare(self, operation: Operation) -> None:
        subtype, name = operation.get("SubType"), operation.get("Name") or None
        if operation["Type"] != self.kind or (subtype and subtype != self.subtype) or name != self.name:
            raise self.mismatch(OperationLabel(operation["Type"], subtype, name), self.label())

    def label(self) -> OperationLabel:
        return OperationLabel(self.kind, self.subtype, self.name)

    def mismatch(self, recorded: OperationLabel, requested: OperationLabel) -> NonDeterminismError:
        """Fail the execution, because ``recorded`` is on record where the code asks for ``requested``, and return the
        error."""
        return self.journal.mismatch(NonDeterminismError(self.id, recorded, requested))

    async def _refuse_expired(self) -> NoReturn:
        """Wait until the deadline's end has its turn, and raise a cancellation."""
        await asyncio.sleep(0)  # code that repeats the call in spite of its cancellation must not stop the loop
        if not self.scope.is_expired():
            await self.journal.cancelled()
        raise BlockExpired


def operations_of(task: Task) -> Iterator[Call]:
    """Return the operations that a task is in, the outermost first."""
    for coroutine, frame in coroutines_of(task):
        if coroutine.cr_code is Call.perform.__code__:
            yield cast("Call", frame.f_locals["self"])
