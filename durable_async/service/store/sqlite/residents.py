"""Which executions are in memory, so that each is one object however often it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs

from durable_async.service.machine import Execution


@attrs.define(eq=False)
class Standing:
    """How an object stands to the row that keeps it.

    :ivar events: the row's ``event_count`` after the last write that was called. A row that says otherwise was written
        by another object
    :ivar status: the row's status after the last write that was called
    :ivar position: of the row; None: it is not inserted yet. Set by the thread that writes
    :ivar lost: one of its writes failed, so that it is ahead for ever. Set by the thread that writes, at once, since
        the next write of the object may be waiting already
    """

    events: int
    status: str
    position: int | None = None
    lost: bool = False


class Residents:
    """Executions that somebody holds; and of those that are open, the ``most`` asked for last.

    Of the objects for one execution, at most one is resident and not lost.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: WeakValueDictionary[str, Execution] = WeakValueDictionary()
        self._standings: WeakKeyDictionary[Execution, Standing] = WeakKeyDictionary()
        self._recent: OrderedDict[str, Execution] = OrderedDict()

    def get(self, execution_id: str) -> Execution | None:
        """The object, unless it is lost."""
        execution = self._all.get(execution_id)
        if execution is None:
            return None
        if self._standings[execution].lost:
            self.forget(execution_id)
            return None
        self._use(execution)
        return execution

    def admit(self, execution: Execution, standing: Standing) -> Execution:
        """Take in what was read, or was kept for the first time.

        :return: the resident object of that execution: another one, if there is one already
        """
        resident = self.get(execution.id)
        if resident is not None:
            return resident
        self._all[execution.id] = execution
        self._standings[execution] = standing
        self._use(execution)
        return execution

    def standing(self, execution: Execution) -> Standing | None:
        """None: the object was never admitted."""
        return self._standings.get(execution)

    def forget(self, execution_id: str) -> None:
        self._all.pop(execution_id, None)
        self._recent.pop(execution_id, None)

    def _use(self, execution: Execution) -> None:
        if not execution.open:
            self._recent.pop(execution.id, None)
            return
        self._recent[execution.id] = execution
        self._recent.move_to_end(execution.id)
        if len(self._recent) > self._most:
            self._recent.popitem(last=False)
