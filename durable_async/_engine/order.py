"""The order in which the ends of a context's operations reach the workflow.

An end is handed over when the workflow is at rest, one at a time, in the order of the record. A first run and a replay
use the same rule, so the workflow's code passes through the same states in both, also code that looks at the order,
such as a queue between tasks.

- the record's order is that of the ends' timestamps, and for equal ones that of the calls
- each context has an order of its own: a replay does not enter a context that has ended, so nothing outside of it may
  depend on the order inside. A block that every replay enters, such as one under ``ctx.timeout``, shares the order of
  the context around it
- where a context has only one task, there is nothing to order: its ends are handed over at once
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush


class Place:
    """The place of one end among those that have not been handed over.

    :ivar at: microseconds since the epoch: when the operation ended
    :ivar number: of the call in its context
    :ivar of: what ended, for a message
    :ivar asked: how many ends had been handed over when the operation began
    :ivar turn: done when the end is handed over; None: nobody waits for that yet
    """

    __slots__ = ("asked", "at", "is_withdrawn", "number", "of", "order", "turn")

    def __init__(self, order: Order, at: int, number: int, of: object, asked: int) -> None:
        self.order: Order = order
        self.at: int = at
        self.number: int = number
        self.of: object = of
        self.asked: int = asked
        self.turn: asyncio.Future[None] | None = None
        self.is_withdrawn: bool = False

    def withdraw(self) -> None:
        """Leave the order: nobody waits for this end any more."""
        self.is_withdrawn = True


class Order:
    """The order of one context, and the ends that wait in it.

    :ivar latest: the time of the last end that was handed over, or of the last one before the context, in epoch
        microseconds
    :ivar tasks: how many tasks run in the context and have not ended
    :ivar is_single: True: one task runs in the context, and nothing waits for its turn. False: several do, or did
    :ivar calls: how many calls were made in the context so far
    :ivar handed_over: how many ends had to wait for their turn and were handed over
    """

    is_single: bool = True
    calls: int = 0
    handed_over: int = 0
    _places: int = 0  # that were taken so far
    _last: Place | None = None  # of those handed over, the one with the latest time
    _last_was: int = 0  # the value of handed_over then

    def __init__(self, latest: int = 0, tasks: int = 1) -> None:
        self.latest: int = latest
        self.tasks: int = tasks
        self._waiting: list[tuple[int, int, int, Place]] = []  # by time and number; the third tells equal ones apart

    def begin_task(self) -> None:
        self.tasks += 1
        if self.tasks > 1:
            self.is_single = False

    def end_task(self) -> None:
        self.tasks -= 1

    def take_place(self, at: int, number: int, of: object, asked: int) -> Place:
        """Return the place of an end that became known.

        :param at: when the operation ended, in epoch microseconds
        """
        place = Place(self, at, number, of, asked)
        self._places += 1
        heappush(self._waiting, (at, number, self._places, place))
        self.is_single = False
        return place

    def next(self) -> Place | None:
        """Return the end that comes next; None: none is known. It can be handed over if it has a ``turn``."""
        waiting = self._waiting
        while waiting:
            place = waiting[0][3]
            if not (place.is_withdrawn or (place.turn is not None and place.turn.done())):
                return place
            heappop(waiting)
        self.is_single = self.tasks <= 1
        return None

    def hand_over(self, place: Place) -> Place | None:
        """Hand over the end that comes next.

        :return: an end that was handed over before, although the record has it after this one; None if there is none
        """
        assert place.turn is not None
        heappop(self._waiting)
        place.turn.set_result(None)
        self.handed_over += 1
        last = self._last
        if last is None or (place.at, place.number) >= (last.at, last.number):
            self._last, self._last_was = place, self.handed_over
        elif place.asked < self._last_was:
            return last
        return None
