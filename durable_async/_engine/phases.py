"""The phases of an invocation: which event leads from one to another, and how the invocation ends.

Pure: no event loop, no clock, no I/O. :class:`~durable_async._engine.journal.Journal` reports what happens and acts on
the phase that follows.

- the first event that decides how the invocation ends is the only one: once that is decided, no operation begins,
  whatever the workflow's code does with its cancellation
- a workflow stays in memory only if it is at rest and nothing else is wrong with it. To the service this makes no
  difference: the invocation ends as if the workflow were suspended
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, Self

from durable_async.errors import NonDeterminismError

# --- how an invocation can end ---


class Returned:
    """The workflow's coroutine returned."""

    __slots__ = __match_args__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value: Any = value


class _Caused:
    __slots__ = __match_args__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


class Failed(_Caused):
    """The execution fails with ``error``: the workflow raised it, or what it asks for can never succeed."""

    __slots__ = ()


class Broken(_Caused):
    """The service could not be reached or did not answer: the invocation has to be repeated."""

    __slots__ = ()


class Exited(_Caused):
    """The workflow's code asked for the end of the program, with SystemExit or KeyboardInterrupt."""

    __slots__ = ()


class Suspended:
    """Nothing can continue until the service invokes again."""

    __slots__ = ()


class Superseded:
    """The invocation must not write any more. What it answers is ignored, or means only "not finished"."""

    __slots__ = ()


Outcome = Returned | Failed | Suspended | Superseded | Broken | Exited
Ending = Failed | Suspended | Superseded | Broken | Exited


# --- its phases until then ---


class Phase(Enum):
    RUNNING = auto()
    """The workflow runs, and operations may begin."""
    DRAINING = auto()
    """What runs may end, no operation begins, and the workflow is suspended when it is at rest."""
    MISMATCHED = auto()
    """The code does not fit the record. Each operation raises the error, and the execution fails with it even if the
    workflow catches it."""
    CACHED = auto()
    """The workflow is suspended in memory, and no invocation runs. An operation that its code calls waits for the next
    invocation: this one has nothing to send, and no right to."""
    CACHED_ENDED = auto()
    """The workflow ended, or was cancelled, while it was suspended in memory. The next invocation answers."""
    ENDING = auto()
    """It is decided how the invocation ends."""


class Event(Enum):
    DRAIN = auto()
    """The service shuts down."""
    MISMATCH = auto()
    """Another operation is on record where the workflow called one."""
    CACHE = auto()
    """The workflow is at rest and stays in memory."""
    RESUME = auto()
    """The workflow in memory continues in the next invocation."""
    EVICT = auto()
    """The workflow in memory is suspended after all."""
    END = auto()
    """The workflow's task ended, or something else decides how the invocation ends."""


NEXT: Mapping[Phase, Mapping[Event, Phase]] = {
    Phase.RUNNING: {
        Event.DRAIN: Phase.DRAINING,
        Event.MISMATCH: Phase.MISMATCHED,
        Event.CACHE: Phase.CACHED,
        Event.END: Phase.ENDING,
    },
    Phase.DRAINING: {Event.MISMATCH: Phase.MISMATCHED, Event.END: Phase.ENDING},
    Phase.MISMATCHED: {Event.END: Phase.ENDING},
    Phase.CACHED: {Event.RESUME: Phase.RUNNING, Event.EVICT: Phase.ENDING, Event.END: Phase.CACHED_ENDED},
    Phase.CACHED_ENDED: {Event.RESUME: Phase.ENDING, Event.EVICT: Phase.ENDING},
    Phase.ENDING: {},
}
"""The phase that follows. An event that is not listed changes nothing: it comes too late, or the phase implies it."""

_ONLY_IN: Mapping[Event, tuple[Phase, ...]] = {
    Event.CACHE: (Phase.RUNNING,),
    Event.RESUME: (Phase.CACHED, Phase.CACHED_ENDED),
    Event.EVICT: (Phase.CACHED, Phase.CACHED_ENDED),
}
"""The events that are mistakes of this package in any other phase."""

REFUSING = (Phase.MISMATCHED, Phase.CACHED_ENDED, Phase.ENDING)
"""In these no operation begins any more."""
HOLDING = (Phase.DRAINING, Phase.CACHED)
"""In these an operation that would begin waits until the workflow is resumed."""
IN_MEMORY = (Phase.CACHED, Phase.CACHED_ENDED)
DECIDED = (Phase.CACHED_ENDED, Phase.ENDING)


class AtRest(Enum):
    """What to do with a workflow that is at rest, of which nothing runs and something waits."""

    WAIT = auto()
    """Nothing: something will happen soon, or the invocation is over."""
    FLUSH = auto()
    """Send what is in the outbox; it may stay in memory after that."""
    CACHE = auto()
    """Keep it in memory."""
    SUSPEND = auto()
    """End the invocation."""


class Life(NamedTuple):
    """The state of an invocation. Each event returns the state that follows.

    :ivar ending: what decided how the invocation ends; None: nothing has, or the workflow's task ended by itself
    :ivar flusher_ending: what the end of the flusher means; None: it has not ended
    :ivar mismatch: the error of the first operation that did not fit the record
    """

    phase: Phase = Phase.RUNNING
    ending: Ending | None = None
    flusher_ending: Ending | None = None
    mismatch: NonDeterminismError | None = None

    def after(self, event: Event) -> Self:
        """Return the state after ``event``.

        :raises ValueError: the event cannot happen in this phase
        """
        phase = self._next(event)
        return self if phase is self.phase else self._replace(phase=phase)

    def _next(self, event: Event) -> Phase:
        if self.phase not in _ONLY_IN.get(event, (self.phase,)):
            raise ValueError(f"{event.name} cannot happen to an invocation that is {self.phase.name}")
        return NEXT[self.phase].get(event, self.phase)

    def ended(self, ending: Ending | None = None) -> Self:
        """Return the state after something has decided how the invocation ends. The first decision counts.

        :param ending: None: the workflow's task has ended, and its result decides
        """
        phase = self._next(Event.END)
        return self if phase is self.phase else self._replace(phase=phase, ending=ending)

    def flusher_ended(self, ending: Ending) -> Self:
        """Return the state after the flusher has ended, so that nothing can be sent any more."""
        return self.ended(ending)._replace(flusher_ending=ending)

    def mismatched(self, error: NonDeterminismError) -> Self:
        return self if self.phase in DECIDED else self.after(Event.MISMATCH)._replace(mismatch=error)

    def evicted(self) -> Self:
        ending = Suspended() if self.phase is Phase.CACHED else self.ending
        return self.after(Event.EVICT)._replace(ending=ending)

    def at_rest(self, *, timer_is_near: bool, may_cache: bool, is_sent: bool) -> AtRest:
        """Decide what follows when the workflow is at rest and cannot continue without the service.

        :param timer_is_near: a timer that it waits for is due within the time that the handler waits in place
        :param may_cache: there is room for it in memory
        :param is_sent: the outbox is empty, and no checkpoint is on its way
        """
        match self.phase:
            case Phase.RUNNING if timer_is_near:
                return AtRest.WAIT
            case Phase.RUNNING if may_cache:
                return AtRest.CACHE if is_sent else AtRest.FLUSH
            case Phase.RUNNING | Phase.DRAINING | Phase.MISMATCHED:
                return AtRest.SUSPEND
            case Phase.CACHED | Phase.CACHED_ENDED | Phase.ENDING:
                return AtRest.WAIT

    def outcome(self, returned: Outcome | None, exited: BaseException | None) -> Outcome:
        """Decide what the invocation answers.

        :param returned: what the end of the workflow's task means, if that decided
        :param exited: the SystemExit or KeyboardInterrupt that left a task of the workflow
        """
        if exited is not None:
            return Exited(exited)
        if isinstance(self.flusher_ending, Superseded):
            return self.flusher_ending  # another invocation has taken over: what this one returned does not count
        if self.mismatch is not None and not isinstance(self.ending, Broken):
            return Failed(self.mismatch)
        if isinstance(self.ending, Suspended) and self.flusher_ending is not None:
            return self.flusher_ending  # not all that the workflow did before its suspension is recorded
        return self.ending or returned or Suspended()
