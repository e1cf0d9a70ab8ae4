"""Which executions are in memory, so that each is one object however often it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs

from durable_async.service.machine import Execution
from durable_async.service.store.sqlite.rows import Row


@attrs.define(eq=False)
class WriteState:
    """What is known of the row that keeps an object.

    :ivar events: the row's ``event_count`` after the last write that was called. A row that says otherwise was written
        by another object
    :ivar row: the values of the row after the last write that was called; None: not known
    :ivar position: of the row; None: it is not inserted yet. Set by the thread that writes
    :ivar failed: one of its writes failed, so that it is ahead of the row for ever. Set by the thread that writes, at
        once, since the next write of the object may be waiting already
    """

    events: int
    row: Row | None = None
    position: int | None = None
    failed: bool = False


class Residents:
    """Executions that somebody holds; and of those that are open, the ``max_open`` asked for last.

    Of the objects for one execution, at most one is resident and has not failed.
    """

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._all: WeakValueDictionary[str, Execution] = WeakValueDictionary()
        self._states: WeakKeyDictionary[Execution, WriteState] = WeakKeyDictionary()
        self._recent: OrderedDict[str, Execution] = OrderedDict()

    def get(self, execution_id: str) -> Execution | None:
        """Return the object; None if none is resident, or one of its writes failed."""
        execution = self._all.get(execution_id)
        if execution is None:
            return None
        if self._states[execution].failed:
            self.forget(execution_id)
            return None
        self._use(execution)
        return execution

    def admit(self, execution: Execution, state: WriteState) -> Execution:
        """Take in what was read, or was kept for the first time.

        :return: the resident object of that execution: another one, if there is one already
        """
        resident = self.get(execution.id)
        if resident is not None:
            return resident
        self._all[execution.id] = execution
        self._states[execution] = state
        self._use(execution)
        return execution

    def state(self, execution: Execution) -> WriteState | None:
        """None: the object was never admitted."""
        return self._states.get(execution)

    def forget(self, execution_id: str) -> None:
        self._all.pop(execution_id, None)
        self._recent.pop(execution_id, None)

    def _use(self, execution: Execution) -> None:
        if not execution.open:
            self._recent.pop(execution.id, None)
            return
        self._recent[execution.id] = execution
        self._recent.move_to_end(execution.id)
        if len(self._recent) > self._max_open:
            self._recent.popitem(last=False)
