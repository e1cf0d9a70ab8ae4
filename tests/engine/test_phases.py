"""The phases of an invocation, as a pure state machine: every sequence of events."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async._engine.phases import (
    DECIDED,
    HOLDING,
    IN_MEMORY,
    NEXT,
    REFUSING,
    AtRest,
    Broken,
    Ending,
    Event,
    Exited,
    Failed,
    Life,
    Phase,
    Returned,
    Superseded,
    Suspended,
)
from durable_async.errors import NonDeterminismError, OperationLabel

LABEL = OperationLabel("STEP", "Step", "a")
MISMATCH = NonDeterminismError("1", LABEL, LABEL)
ERROR = RuntimeError("no")
ENDINGS = st.sampled_from([Failed(ERROR), Broken(ERROR), Exited(SystemExit()), Superseded(), Suspended()])
EVENTS = st.one_of(st.sampled_from(Event), st.tuples(st.sampled_from(["ended", "flusher_ended"]), ENDINGS))
BOOLEANS = st.booleans()


def after(life, event):
    """The life after an event as the journal reports it; the same life if the event is impossible."""
    if isinstance(event, tuple):
        name, ending = event
        return getattr(life, name)(ending)
    try:
        match event:
            case Event.MISMATCH:
                return life.mismatched(MISMATCH)
            case Event.EVICT:
                return life.evicted()
            case Event.END:
                return life.ended()
            case _:
                return life.after(event)
    except ValueError:
        return life


@st.composite
def lives(draw):
    life = Life()
    for event in draw(st.lists(EVENTS, max_size=8)):
        life = after(life, event)
    return life


def test_every_kind_of_ending_is_among_the_endings_here():
    kinds = {Failed, Broken, Exited, Superseded, Suspended}
    assert set(get_args(Ending)) == kinds


@given(lives(), EVENTS)
def test_the_first_ending_stays(life, event):
    if life.phase in DECIDED:
        later = after(life, event)
        assert later.phase in DECIDED
        assert later.ending is life.ending


@given(lives(), EVENTS)
def test_no_operation_begins_once_it_is_decided_that_none_does(life, event):
    if life.phase in REFUSING:
        assert after(life, event).phase in REFUSING


@given(lives(), EVENTS)
def test_a_workflow_is_kept_in_memory_only_if_it_runs_and_nothing_is_wrong_with_it(life, event):
    if after(life, event).phase is Phase.CACHED and life.phase is not Phase.CACHED:
        assert life.phase is Phase.RUNNING
        assert life.mismatch is None
        assert life.ending is None


@pytest.mark.parametrize("event", [Event.RESUME, Event.EVICT])
@given(life=lives())
def test_only_a_workflow_in_memory_can_be_resumed_or_evicted(life, event):
    if life.phase in IN_MEMORY:
        assert life.after(event).phase not in IN_MEMORY
    else:
        with pytest.raises(ValueError, match=f"{event.name} cannot happen .* {life.phase.name}"):
            life.after(event)


@given(life=lives())
def test_only_a_running_workflow_can_be_kept_in_memory(life):
    if life.phase is Phase.RUNNING:
        assert life.after(Event.CACHE).phase is Phase.CACHED
    else:
        with pytest.raises(ValueError, match="CACHE cannot happen"):
            life.after(Event.CACHE)


@given(lives(), EVENTS)
def test_an_operation_that_is_held_goes_on_only_if_the_workflow_is_resumed(life, event):
    if life.phase in HOLDING and after(life, event).phase is Phase.RUNNING:
        assert event is Event.RESUME


@given(lives(), BOOLEANS, BOOLEANS, BOOLEANS)
def test_what_follows_at_rest_is_possible_in_the_phase(life, near, may_cache, is_sent):
    match life.at_rest(timer_is_near=near, may_cache=may_cache, is_sent=is_sent):
        case AtRest.CACHE:
            assert life.after(Event.CACHE).phase is Phase.CACHED
            assert may_cache and is_sent and not near
        case AtRest.FLUSH:
            assert life.phase is Phase.RUNNING and may_cache and not is_sent
        case AtRest.SUSPEND:
            assert life.ended(Suspended()).phase is Phase.ENDING
        case AtRest.WAIT:
            assert life.phase in DECIDED or life.phase is Phase.CACHED or near


@given(life=lives(), near=BOOLEANS, may_cache=BOOLEANS, is_sent=BOOLEANS)
def test_what_drains_or_does_not_fit_its_record_is_suspended_at_rest(life, near, may_cache, is_sent):
    if life.phase in (Phase.DRAINING, Phase.MISMATCHED):
        assert life.at_rest(timer_is_near=near, may_cache=may_cache, is_sent=is_sent) is AtRest.SUSPEND


@given(lives(), st.sampled_from([None, Returned(1), Failed(ERROR)]))
def test_the_outcome_follows_from_the_first_ending(life, returned):
    returned = returned if life.ending is None else None
    outcome = life.outcome(returned, None)
    if isinstance(life.flusher_ending, Superseded):
        assert outcome is life.flusher_ending
    elif isinstance(life.ending, Broken):
        assert outcome is life.ending
    elif life.mismatch is not None:
        assert isinstance(outcome, Failed) and outcome.error is life.mismatch
    elif isinstance(life.ending, Suspended):
        assert outcome is (life.flusher_ending or life.ending)
    elif life.ending is not None:
        assert outcome is life.ending
    else:
        assert returned is None or outcome is returned


@given(lives())
def test_the_end_of_the_program_is_the_outcome_whatever_else_happened(life):
    error = KeyboardInterrupt()
    outcome = life.outcome(None, error)
    assert isinstance(outcome, Exited) and outcome.error is error


def test_every_phase_has_a_row_and_can_be_reached():
    assert set(NEXT) == set(Phase)
    reached = {Phase.RUNNING}
    while new := {each for phase in reached for each in NEXT[phase].values()} - reached:
        reached |= new
    assert reached == set(Phase)
