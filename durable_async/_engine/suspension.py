"""What follows when a workflow is at rest: the next end is handed over, or nothing can continue.

An invocation counts what runs, such as bodies of steps, and the operations that wait for the service. At rest, each
context hands over the end that comes next in its order. If there is none, nothing runs, and something waits, the
workflow cannot continue without the service.

While the body of a step that was cancelled has not ended, nothing is handed over in its context, see
``cancelled_bodies``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from durable_async._engine.branches import Workflow
from durable_async._engine.limits import DEFAULT_LIMITS, EngineLimits
from durable_async._engine.order import Order, Place
from durable_async._engine.rest import rest_of

logger: logging.Logger = logging.getLogger("durable_async")


class Activity:
    """Counts what runs and what waits, hands ends over, and reports when nothing can continue.

    Enter it (``with activity:``) for as long as something runs that a suspension must not cut short.

    :param on_rest: called when the workflow cannot continue without the service
    :param is_known: returns whether the complete record is here. Until then nothing is handed over, because an earlier
        end may still come, and ``on_rest`` is not called. Call ``changed`` when the record is complete
    :ivar quiet: turns of the loop in which nothing of the workflow began or ended
    :ivar out_of_order: how many ends came after one that the record has behind them
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workflow: Workflow,
        on_rest: Callable[[], None],
        is_known: Callable[[], bool],
        limits: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        self.workflow = workflow
        self.limits: EngineLimits = limits
        self.quiet: int = 0
        self.out_of_order: int = 0
        self._loop = loop
        self._rest = rest_of(loop)
        self._on_rest = on_rest
        self._is_known = is_known
        self._running = 0
        self._waiting = 0
        self._orders: dict[Order, None] = {}  # in which ends wait for their turn
        self._settled: asyncio.Future[None] | None = None
        self._resting: list[asyncio.Future[None]] = []
        self._look_again: asyncio.TimerHandle | None = None  # at the bodies that hold ends back
        self._is_handing_over = False
        self._over = False

    def __enter__(self) -> None:
        self._running += 1

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if self._waiting or self._orders or self._is_handing_over:  # else nobody is watching
            self.changed()

    def changed(self) -> None:
        """Note that something began, ended or was sent."""
        self.quiet = 0
        if self._orders or self._is_handing_over or (self._waiting and not self._running and not self._over):
            self._rest.watch(self)

    def begin_wait(self) -> None:
        """Count an operation that waits for the service, without which the workflow cannot continue."""
        self._waiting += 1
        self.changed()

    def end_wait(self) -> None:
        self._waiting -= 1
        self.quiet = 0

    def close(self) -> None:
        """Hand nothing over any more, and do not report any more."""
        self._over = True
        self._orders.clear()
        self.workflow.cancelled_bodies.clear()
        self._settle()
        if self._look_again is not None:
            self._look_again.cancel()

    # --- ends in their order ---

    def expect(self, place: Place) -> asyncio.Future[None]:
        """Return a future that is done when the end is handed over. Withdraw the place if nobody waits for it."""
        turn = place.turn = self._loop.create_future()
        if not self._over:
            self._orders[place.order] = None
            self._is_handing_over = True
            self.quiet = 0
            self._rest.watch(self)
        return turn

    def settled(self) -> asyncio.Future[None] | None:
        """Return None if no end can be handed over now; otherwise a future that is done when that is so. Then all that
        the workflow does next is known."""
        if not self._is_handing_over or (self.workflow.cancelled_bodies and self._held_back()):
            return None
        if self._settled is None or self._settled.done():
            self._settled = self._loop.create_future()
        return self._settled

    def rested(self) -> asyncio.Future[None]:
        """Return a future that is done when the workflow is at rest and no end can be handed over. Each caller gets its
        own."""
        rested: asyncio.Future[None] = self._loop.create_future()
        if self._over:
            rested.set_result(None)
        else:
            self._resting.append(rested)
            self._is_handing_over = True
            self.changed()
        return rested

    def at_rest(self) -> None:
        if self._over or not self._is_known():
            return
        if self._hand_over() or self._settle():
            self.quiet = 0  # what continues now may run before the next look, and leave callbacks that no task shows
            self._rest.watch(self)
        elif self._waiting and not self._running:
            self._on_rest()

    def restless(self) -> None:
        if self._over or not self._is_known():
            return
        if not self._hand_over():
            self._settle()
        self.changed()

    def _hand_over(self) -> bool:
        """Hand over the next end of each order. Return whether there was one."""
        held = self._held_back() if self.workflow.cancelled_bodies else ()
        handed_over = False
        for order in [*self._orders]:
            place = order.next()
            if place is None:
                del self._orders[order]
            elif place.turn is not None and order not in held:
                handed_over = True
                if (last := order.hand_over(place)) is not None:
                    self._report(place, last)
        return handed_over

    def _settle(self) -> bool:
        """Return whether somebody waited for that and continues now."""
        if self.workflow.cancelled_bodies:  # what they hold back may cancel what waits for rest
            return self._finish(self._settled)
        self._is_handing_over = False
        resting, self._resting = self._resting, []
        finished = [self._finish(future) for future in (self._settled, *resting)]
        return any(finished)

    @staticmethod
    def _finish(future: asyncio.Future[None] | None) -> bool:
        """Return whether somebody waited for the future and continues now."""
        if future is None or future.done():  # as it is if the flusher was cancelled
            return False
        future.set_result(None)
        return True

    def _held_back(self) -> set[Order]:
        """Return the orders in which nothing is handed over now."""
        from durable_async._engine.cancelled_bodies import drop_ended, held_back  # few bodies are cancelled

        bodies, longest = self.workflow.cancelled_bodies, self.limits.clean_up
        drop_ended(self.workflow, self._loop.time(), longest)
        if bodies and self._look_again is None:
            since = min(body.since for body in bodies.values())
            self._look_again = self._loop.call_at(since + longest, self._looks_again)
        return held_back(bodies.values())

    def _looks_again(self) -> None:
        self._look_again = None
        self.changed()

    def _report(self, place: Place, last: Place) -> None:
        self.out_of_order += 1
        if self.out_of_order == 1:
            logger.warning(
                "%s: the end of %s came after that of %s, and is recorded before it. If the workflow depends on their "
                "order, a replay will take other decisions",
                self.workflow.execution_arn,
                place.of,
                last.of,
            )
