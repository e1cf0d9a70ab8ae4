"""Keeps track of the executions in memory, so that each is one object for all callers."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs

from durable_async.service.machine import Execution
from durable_async.service.store.sqlite.rows import Row


@attrs.define(eq=False)
class WriteState:
    """What is known of an object's row.

    :ivar events: the row's ``event_count`` after the last write that was called. If the row has another number, another
        object wrote it
    :ivar row: the values of the row after the last write that was called; None: unknown
    :ivar position: the row's position; None: it is not inserted yet. The writing thread sets it
    :ivar failed: True: a write failed, so the object stays newer than the row and must not be written again. False:
        none failed. The writing thread sets it at once, because the next write of the object may already be waiting
    """

    events: int
    row: Row | None = None
    position: int | None = None
    failed: bool = False


class Residents:
    """The executions that are referenced elsewhere, and the ``max_open`` open ones that were used last.

    At most one object of each execution is resident and has not failed.
    """

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._all: WeakValueDictionary[str, Execution] = WeakValueDictionary()
        self._states: WeakKeyDictionary[Execution, WriteState] = WeakKeyDictionary()
        self._recent: OrderedDict[str, tuple[Execution, WriteState]] = OrderedDict()

    def get(self, execution_id: str) -> Execution | None:
        """Return the resident object of an execution; None if there is none, or one of its writes failed."""
        recent = self._recent.get(execution_id)  # the other two are slow, and nearly every call finds it here
        execution = self._all.get(execution_id) if recent is None else recent[0]
        if execution is None:
            return None
        state = self._states[execution] if recent is None else recent[1]
        if state.failed:
            self.forget(execution_id)
            return None
        if recent is not None and execution.open:
            self._recent.move_to_end(execution_id)
        else:
            self._use(execution, state)
        return execution

    def admit(self, execution: Execution, state: WriteState) -> Execution:
        """Add an object that was read or stored for the first time.

        :return: the resident object of that execution, which is another one if there is one already
        """
        resident = self.get(execution.id)
        if resident is not None:
            return resident
        self._all[execution.id] = execution
        self._states[execution] = state
        self._use(execution, state)
        return execution

    def state(self, execution: Execution) -> WriteState | None:
        """Return the state of an object; None if it was never admitted."""
        recent = self._recent.get(execution.id)
        return recent[1] if recent is not None and recent[0] is execution else self._states.get(execution)

    def forget(self, execution_id: str) -> None:
        self._all.pop(execution_id, None)
        self._recent.pop(execution_id, None)

    def _use(self, execution: Execution, state: WriteState) -> None:
        if not execution.open:
            self._recent.pop(execution.id, None)
            return
        self._recent[execution.id] = execution, state
        self._recent.move_to_end(execution.id)
        if len(self._recent) > self._max_open:
            self._recent.popitem(last=False)
