"""Who is suspected of the end of a process, and how many crashes it takes to find out."""

import random
from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async.service.machine import Interrupted, culprit, group_order, group_size, is_suspect, trial_seconds
from durable_async.service.machine.suspects import SHARED_CRASHES


@pytest.mark.parametrize(
    ("interrupted", "found"),
    [
        pytest.param({}, None, id="nothing ran"),
        pytest.param({"a": 0}, "a", id="one ran alone"),
        pytest.param({"a": 0, "b": 0}, None, id="two are as likely"),
        pytest.param({"a": 5, "b": 2, "c": 2}, "a", id="one was in more crashes than those beside it"),
        pytest.param({"a": 5, "b": 5, "c": 2}, None, id="two were in the same"),
    ],
)
def test_who_is_to_blame_for_a_crash(interrupted, found):
    assert culprit(Interrupted(*each) for each in interrupted.items()) == found


@pytest.mark.parametrize(
    ("suspects", "crashes", "quarantine_after", "size"),
    [
        pytest.param(20, 3, 10, 10, id="a half"),
        pytest.param(21, 3, 10, 11, id="of an odd number the larger half"),
        pytest.param(20, 8, 10, 4, id="two crashes are left: about the root"),
        pytest.param(20, 9, 10, 1, id="the next crash decides"),
        pytest.param(20, 12, 10, 1, id="it should have decided already"),
        pytest.param(20, 3, None, 10, id="nobody is quarantined"),
        pytest.param(1, 3, 10, 1, id="there is only one"),
        pytest.param(1, 3, None, 1, id="there is only one, and nobody is quarantined"),
        pytest.param(0, 3, None, 1, id="none was known, and nobody is quarantined"),
        pytest.param(0, 3, 10, 1, id="none was known"),
        pytest.param(1000, 3, 10, 373, id="a half would not narrow fast enough"),
    ],
)
def test_how_many_run_side_by_side(suspects, crashes, quarantine_after, size):
    assert group_size(suspects, crashes, quarantine_after) == size


@pytest.mark.parametrize(("crashes", "seconds"), [(3, 60), (4, 120), (6, 480), (7, 600), (500, 600)])
def test_a_group_has_more_time_after_each_crash_and_ten_minutes_at_most(crashes, seconds):
    assert trial_seconds(crashes) == seconds


def test_after_each_crash_the_suspects_run_in_the_other_order():
    assert group_order("bac", 3) == ["c", "b", "a"]
    assert group_order("bac", 4) == ["a", "b", "c"]


@attrs.define
class Life:
    """Services on one store, one after the other, each ended by the first poisonous execution that it runs."""

    crashes: dict[str, int]
    poisonous: frozenset[str]
    quarantine_after: int
    chance: random.Random
    quarantined: dict[str, int] = attrs.Factory(dict)

    def one(self):
        """Whether this service ran everything to its end."""
        suspects = [name for name, count in self.crashes.items() if is_suspect(count)]
        known = Counter(self.crashes[name] for name in suspects)
        ran = [name for name in self.crashes if name not in suspects]
        if self._crashed(ran, ran):
            return False
        while suspects:
            least = min(self.crashes[name] for name in suspects)
            alike = [name for name in suspects if self.crashes[name] == least]
            group = group_order(alike, least)[: group_size(known[least], least, self.quarantine_after)]
            suspects = [name for name in suspects if name not in group]
            if self._crashed(group, [*ran, *group]):
                return False
            ran += group
        return True

    def _crashed(self, begun, running):
        """``begun`` begin beside the rest of ``running``. Without poison all of it ends, or goes on as it likes."""
        if not self.poisonous & {*begun}:
            for name in begun:
                if not name.endswith("long"):
                    del self.crashes[name]
            return False
        ended = {name for name in begun if name.endswith("short") and self.chance.random() < 0.3}
        running = [name for name in running if name in self.crashes and name not in ended]
        found = culprit(Interrupted(name, self.crashes[name]) for name in running)
        for name in ended:
            del self.crashes[name]
        for name in running:
            self.crashes[name] += 1
        if found is not None and self.crashes[found] >= self.quarantine_after:
            self.quarantined[found] = self.crashes.pop(found)
        return True


@given(
    short=st.integers(0, 50),
    long=st.integers(0, 10),
    poisonous=st.integers(1, 4),
    quarantine_after=st.integers(1, 12),
    seed=st.integers(0, 1_000_000),
)
def test_what_ends_the_process_is_quarantined_after_so_many_crashes_and_nothing_else_is(
    short, long, poisonous, quarantine_after, seed
):
    """:param long: executions that outlast every trial"""
    chance = random.Random(seed)

    def ids(kind, count):
        return [f"{chance.random()} {kind}" for _ in range(count)]

    bad = frozenset(ids("poison", poisonous))
    all_ids = [*bad, *ids("short", short), *ids("long", long)]
    life = Life(dict.fromkeys(all_ids, 0), bad, quarantine_after, chance)
    most = max(quarantine_after, SHARED_CRASHES + 1) + (long > 0)
    crashes = 0
    while not life.one():
        crashes += 1
        life.crashes |= dict.fromkeys(ids("short", 3), 0)  # there is always something new
        assert crashes <= most * poisonous
    assert life.quarantined.keys() == bad
    assert min(life.quarantined.values()) >= quarantine_after
