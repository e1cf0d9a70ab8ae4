"""The engine's tunables, as one value."""

from __future__ import annotations

import attrs

from durable_async._options import Options

_SECONDS = attrs.validators.ge(0.0)
_DELAY = attrs.validators.gt(0.0)
_COUNT = attrs.validators.ge(0)
_AT_LEAST_ONE = attrs.validators.ge(1)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EngineLimits(Options):
    """How long an invocation waits, and how often it tries again.

    :ivar clean_up: seconds that ``finally`` blocks may take when a task is cancelled. A task of the workflow that has
        not ended by then, when the workflow is suspended, is abandoned. The body of a step that has not ended by then
        no longer holds back the ends of other operations
    :ivar show_start: seconds after which the START of a running step is sent, so that an observer sees that it runs.
        The START of a step that ends earlier leaves together with its end
    :ivar busy_attempts: how often a call is repeated while the service answers that it is busy, in addition to the
        repetitions of the transport. Then the invocation fails
    :ivar busy_delay: seconds before the first of these repetitions. The delay doubles with each one
    :ivar busy_delay_max: the longest of these delays, in seconds
    :ivar ask_again: seconds before the service is asked again about a timer that is due by the handler's clock and has
        not ended. The delay doubles each time
    :ivar ask_again_max: the longest of these delays, in seconds
    :ivar answer_margin: seconds before Lambda's time limit at which plugins that still flush are cancelled, and a
        warning says where the workflow is
    :ivar batch_starts: how many items of a map or parallel start in one turn of the event loop
    :ivar quiet_turns: on an event loop of which it is not known what it runs next, so neither asyncio's own nor uvloop:
        how many turns of the loop must pass without a change in the workflow before it counts as at rest
    :ivar restless_turns: how many turns of the event loop a workflow's code may run without a pause. Then the ends that
        it may be waiting for are handed over although it is not at rest
    :raises ValueError: a value is negative; or ``batch_starts``, ``ask_again`` or ``ask_again_max`` is zero
    """

    clean_up: float = attrs.field(default=5.0, validator=_SECONDS)
    show_start: float = attrs.field(default=0.05, validator=_SECONDS)
    busy_attempts: int = attrs.field(default=8, validator=_COUNT)
    busy_delay: float = attrs.field(default=0.2, validator=_SECONDS)
    busy_delay_max: float = attrs.field(default=10.0, validator=_SECONDS)
    ask_again: float = attrs.field(default=0.25, validator=_DELAY)
    ask_again_max: float = attrs.field(default=8.0, validator=_DELAY)
    answer_margin: float = attrs.field(default=0.5, validator=_SECONDS)
    batch_starts: int = attrs.field(default=250, validator=_AT_LEAST_ONE)
    quiet_turns: int = attrs.field(default=8, validator=_COUNT)
    restless_turns: int = attrs.field(default=1000, validator=_COUNT)


DEFAULT_LIMITS = EngineLimits()
