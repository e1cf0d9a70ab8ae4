"""A durable call: an identity claimed when the operation was called, and how its record is read and written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from types import CodeType
from typing import Any, NoReturn, TypeVar, Unpack

import attrs

from durable_async._engine.branches import Branch
from durable_async._engine.error_objects import error_object
from durable_async._engine.invocation import Invocation
from durable_async._engine.observer import Frontier
from durable_async._engine.order import Place
from durable_async._wire.limits import PAYLOAD_BYTES
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    ErrorObject,
    Operation,
    OperationType,
    OperationUpdate,
    SubType,
    UpdateDetails,
)
from durable_async._wire.text import utf8_size
from durable_async._wire.timestamps import end_microseconds
from durable_async.errors import (
    NonDeterminismError,
    OperationError,
    OperationLabel,
    PayloadTooLargeError,
    ServiceCallError,
)

E = TypeVar("E", bound=OperationError)
T = TypeVar("T")


class BlockExpired(asyncio.CancelledError):
    """The cancellation of code that goes on in a block whose deadline has passed. Nobody cancelled its task."""


@attrs.define(eq=False)
class Call:
    """
    :ivar coroutine: does the operation, and has not begun; None afterwards
    :ivar caller: the code that called the operation, with the offset of the instruction in it
    :ivar number: of the call in its context
    """

    invocation: Invocation
    branch: Branch
    id: str
    kind: OperationType
    subtype: SubType
    name: str | None
    coroutine: Coroutine[Any, Any, Any] | None = None
    caller: CodeType | None = None
    instruction: int = 0
    number: int = 0
    _asked: int | None = attrs.field(default=None, init=False)  # see Place; None: the end is not the workflow's to see
    _end: Operation | None = attrs.field(default=None, init=False)
    _ended_at: float = attrs.field(default=0.0, init=False)
    _place: Place | None = attrs.field(default=None, init=False)

    def __str__(self) -> str:
        return f"{self.subtype} {self.name!r}" if self.name else f"{self.subtype} {self.id[:8]}"

    async def perform(self, operation: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        """Await ``operation(self, *args, **options)``, and return or raise when it is this end's turn."""
        self.coroutine = self._place = self._end = None
        scope = self.branch.scope
        scope.unstarted.pop(self, None)
        self._asked = scope.order.handed_over
        try:
            result = await operation(self, *args, **options)
        except Exception:
            await self.hand_over()
            raise
        except BaseException:
            if self._place is not None:
                self._place.withdraw()
            raise
        if self._place is not None:
            await self.invocation.activity.turn(self._place)
        self._visit()
        return result

    def ended(self, operation: Operation) -> None:
        """Take this end's place in the order. To be called as soon as the record has it."""
        if self._end is None:
            self._end = operation
            self.happened(end_microseconds(operation))

    def happened(self, at: int | None) -> None:
        """Take a place in the order for what the workflow is to see of an operation before its end.

        :param at: epoch microseconds, as recorded
        """
        order = self.branch.scope.order
        self._ended_at = (at or 0) / 1_000_000
        if not order.is_single:
            asked = order.handed_over if self._asked is None else self._asked
            self._place = order.take_place(self._ended_at, self.number, str(self), asked)

    async def hand_over(self) -> None:
        """Return when it is the turn of what ``ended`` or ``happened`` was called for."""
        if self._place is not None:
            await self.invocation.activity.turn(self._place)
            self._place = None
        self._visit()

    def _visit(self) -> None:
        order = self.branch.scope.order
        order.latest = max(order.latest, self._ended_at)
        if self._end is not None:
            self.invocation.record.visit(self._end)

    async def look(self, *, start: bool = False) -> Operation | None:
        """The operation as it is recorded, None if it is new.

        :param start: whether the operation's start is all that the workflow is to see
        :raises NonDeterminismError: another operation is recorded in its place
        :raises asyncio.CancelledError: the invocation is ending; or the operation has not ended, and the deadline of
            a block around it has passed
        """
        invocation = self.invocation
        while True:  # after each wait all of it is asked once more
            if invocation.admission is not None and not invocation.decided():
                await invocation.admitted()
            if invocation.decided() or self.branch.scope.is_closed():
                await invocation.refuse()
            operation = invocation.record.get(self.id)
            if operation is not None or (whole := invocation.record.whole) is None:
                break
            with invocation.activity:
                await asyncio.shield(whole)
        if operation is not None:
            self._compare(operation)
            if invocation.plugins is not None:
                invocation.plugins.reached(operation)
            if start:
                return operation
            if operation["Status"] in TERMINAL:
                if self._asked is not None:
                    self.ended(operation)
                return operation
        if self.branch.scope.will_expire():
            await self._refuse_expired()
        return operation

    def forget(self) -> None:
        """Note that the workflow will not ask for this end, of which it is told otherwise."""
        operation = self.invocation.record.get(self.id)
        if operation is not None and operation["Status"] in TERMINAL:
            self.invocation.record.visit(operation)

    def post(self, action: Action, **details: Unpack[UpdateDetails]) -> None:
        """Record with whatever leaves next; nobody waits for it."""
        if self.invocation.plugins is not None and action is Action.START:
            self.invocation.plugins.starting(self)
        self.invocation.flusher.post(self._update(action, details))

    async def commit(self, action: Action, **details: Unpack[UpdateDetails]) -> Operation:
        """Record, and return the operation as the service has it now."""
        invocation = self.invocation
        if invocation.decided() or self.branch.scope.is_closed():
            await invocation.refuse()  # the body took its cancellation for something to recover from
        if invocation.frontier is not None:
            await self.stop(invocation.frontier, action)
        if invocation.plugins is not None and action is Action.START:
            invocation.plugins.starting(self)
        with invocation.activity:
            await invocation.flusher.commit(self._update(action, details))
        operation = invocation.record.get(self.id)
        if operation is None:
            raise ServiceCallError("checkpoint", f"the service accepted {action} of {self} and did not return it")
        if self._asked is not None and operation["Status"] in TERMINAL:
            self.ended(operation)
        return operation

    async def stop(self, frontier: Frontier, action: Action) -> NoReturn:
        """Wait for the end of the invocation: what would happen now is not on record."""
        frontier(self, action)
        while True:
            await self.park(self.invocation.record.get(self.id))

    async def park(self, seen: Operation | None, due: float | None = None) -> None:
        """Wait until the record says something else about this operation than ``seen``, which the caller has read.

        :param due: when the service should have something new, in epoch seconds; None if only the outside world knows
        """
        await self.invocation.parked(self.id, seen, due)

    def running(self) -> AbstractContextManager[None]:
        """Entered while something of this call runs that must not be cut short by a suspension."""
        return self.invocation.activity

    def sized(self, payload: str) -> str:
        """:raises PayloadTooLargeError: the service would not take ``payload``"""
        if len(payload) * 4 > PAYLOAD_BYTES and (size := utf8_size(payload)) > PAYLOAD_BYTES:
            raise PayloadTooLargeError(str(self), size, PAYLOAD_BYTES)
        return payload

    def error_object(self, error: BaseException, *, named: str | None = None) -> ErrorObject:
        """:param named: instead of the name of the error's class"""
        return error_object(error, of=str(self), named=named)

    def failure(self, cls: type[E], error: ErrorObject) -> E:
        """The error that the record of this operation gives back."""
        return cls(
            error.get("ErrorMessage") or "",
            error.get("ErrorType"),
            error.get("ErrorData"),
            tuple(error.get("StackTrace") or ()),
            self.id,
            self.name,
        )

    def _update(self, action: Action, details: UpdateDetails) -> OperationUpdate:
        update: OperationUpdate = {
            "Id": self.id,
            "Type": self.kind,
            "SubType": self.subtype,
            "Action": action,
            **details,  # type: ignore[typeddict-item]
        }
        if self.name is not None:
            update["Name"] = self.name
        if self.branch.scope.id is not None:
            update["ParentId"] = self.branch.scope.id
        return update

    def _compare(self, operation: Operation) -> None:
        subtype, name = operation.get("SubType"), operation.get("Name") or None
        if operation["Type"] != self.kind or (subtype and subtype != self.subtype) or name != self.name:
            raise self.invocation.mismatch(
                NonDeterminismError(
                    self.id,
                    OperationLabel(operation["Type"], subtype, name),
                    OperationLabel(self.kind, self.subtype, self.name),
                )
            )

    async def _refuse_expired(self) -> NoReturn:
        """Raise a cancellation, when it is the turn of the deadline's end."""
        await asyncio.sleep(0)  # code that goes round in spite of its cancellation must not stop the loop
        if not self.branch.scope.is_expired():
            await self.invocation.cancelled()
        raise BlockExpired
