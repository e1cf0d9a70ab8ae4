"""A durable call: an identity claimed when the operation was called, and how its record is read and written."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from types import CodeType
from typing import Any, NoReturn, TypeVar, Unpack

import attrs

from durable_async._engine.branches import Branch
from durable_async._engine.error_objects import error_object
from durable_async._engine.invocation import Invocation
from durable_async._engine.observer import Frontier
from durable_async._wire.cancellation import CANCELLATION, delivered
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
from durable_async.errors import (
    ExecutionCancelledError,
    NonDeterminismError,
    OperationError,
    OperationLabel,
    PayloadTooLargeError,
    ServiceCallError,
)

E = TypeVar("E", bound=OperationError)


class BlockExpired(asyncio.CancelledError):
    """The cancellation of code that goes on in a block whose deadline has passed. Nobody cancelled its task."""


@attrs.define(eq=False, repr=False)
class Call:
    """
    :ivar coroutine: does the operation, and has not begun; None afterwards
    :ivar caller: the code that called the operation, with the offset of the instruction in it
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

    def __str__(self) -> str:
        return f"{self.subtype} {self.name!r}" if self.name else f"{self.subtype} {self.id[:8]}"

    async def find(self) -> Operation | None:
        """The operation as it is recorded, None if it is new. For one that is made now and whose end is asked for
        later: the workflow has not come by that end yet.

        :raises NonDeterminismError: another operation is recorded in its place
        :raises asyncio.CancelledError: the invocation is ending
        """
        invocation = self.invocation
        self.coroutine = None
        unstarted = self.branch.scope.unstarted
        unstarted.pop(self, None)
        if not unstarted:
            unstarted.clear()  # which frees its table: thousands of contexts may each have one call going on
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
        return operation

    async def look(self) -> Operation | None:
        """The same, and the workflow comes by the operation's end if it has one.

        :raises asyncio.CancelledError: also if it has none, and the deadline of a block around it has passed
        """
        operation = await self.find()
        if self.invocation.record.cancellation is not None:
            self._tell_cancellation(here=operation is None or operation["Status"] not in TERMINAL)
        if operation is not None and operation["Status"] in TERMINAL:
            self.come_by(operation)
        elif self.branch.scope.is_expired():
            await _refuse_expired()
        return operation

    async def enter(self) -> Operation | None:
        """The same, for a context whose body may have to be run again although it has ended: the workflow has come by
        that end only when it leaves the context, and not for the time being in it."""
        operation = await self.find()
        if self.invocation.record.cancellation is not None:
            self._tell_cancellation(here=operation is None)
        if (operation is None or operation["Status"] not in TERMINAL) and self.branch.scope.is_expired():
            await _refuse_expired()
        return operation

    def _tell_cancellation(self, *, here: bool) -> None:
        """Tell the workflow that it is cancelled, where it was told before, or else at the first call that may be told.

        :param here: whether this call may be the first
        :raises ExecutionCancelledError: it is told now
        """
        cancellation = self.invocation.record.cancellation
        if cancellation is None or cancellation.told:
            return
        if cancellation.at != self.id and not (here and cancellation.at is None):
            return
        if cancellation.at is None:
            self.invocation.flusher.post(
                {
                    "Id": CANCELLATION,
                    "Type": OperationType.STEP,
                    "SubType": SubType.STEP,
                    "Name": CANCELLATION,
                    "Action": Action.SUCCEED,
                    "Payload": delivered(cancellation.reason, self.id),
                }
            )
        cancellation.told = True
        raise ExecutionCancelledError(cancellation.reason)

    def come_by(self, operation: Operation) -> None:
        """The workflow knows now how the operation ended."""
        self.branch.come_by(operation)
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
        self.branch.come_by(operation)
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


async def _refuse_expired() -> NoReturn:
    await asyncio.sleep(0)  # code that goes round in spite of its cancellation must not stop the loop
    raise BlockExpired
