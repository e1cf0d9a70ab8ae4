"""Which executions are suspected of having ended the service's process, and how many of them run side by side.

When a process ends without notice, everything that ran in it may be the cause. One crash, or two, say little: a deploy
and a lack of memory look the same. From ``SHARED_CRASHES`` crashes in a row on, an execution is a suspect until an
invocation of it ends without a crash. Suspects run in groups, and each crash halves the group that can be the cause, or
divides it by more where fewer crashes are left before quarantine. Before its last one, a suspect runs with no other
suspect beside it. So what ends the process each time is quarantined after ``quarantine_after`` crashes (after
``SHARED_CRASHES + 1`` if that is more and others ran beside it), and nothing that shared each of its crashes is.

A group that runs for longer than ``trial_seconds`` is joined by the next one, and a crash counts for both. The order of
the groups is turned round from crash to crash, so that the cause runs before those others at every second crash. This
costs one crash more at most, as long as the cause acts within its trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

SHARED_CRASHES = 3
_FIRST_TRIAL = 60.0  # seconds
_LONGEST_TRIAL = 600.0


@attrs.frozen
class Interrupted:
    """An execution whose invocation ran when the process ended. ``crashes`` counts those before that, in a row."""

    id: str
    crashes: int


def culprit(interrupted: Iterable[Interrupted]) -> str | None:
    """The execution that was in more crashes in a row than any other that this crash hit; None: several were."""
    ranked = sorted(interrupted, key=lambda each: each.crashes, reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0].crashes == ranked[1].crashes):
        return None
    return ranked[0].id


def is_suspect(crashes: int) -> bool:
    """Whether so many crashes in a row are more than bad luck."""
    return crashes >= SHARED_CRASHES


def group_order(suspects: Iterable[str], crashes: int) -> list[str]:
    """In which order suspects run that were each in ``crashes`` crashes in a row: by id, upwards or downwards."""
    return sorted(suspects, reverse=crashes % 2 == 1)


def trial_seconds(crashes: int) -> float:
    """How long a group has to end before the next one runs beside it: a minute, then longer after each crash."""
    return min(_LONGEST_TRIAL, _FIRST_TRIAL * 2.0 ** (crashes - SHARED_CRASHES))


def group_size(suspects: int, crashes: int, quarantine_after: int | None) -> int:
    """How many suspects run side by side, of ``suspects`` that were each in ``crashes`` crashes in a row.

    :return: at most half of them, rounded up; 1 when their next crash leads to quarantine
    """
    half = max(1, (suspects + 1) // 2)
    if quarantine_after is None:
        return half
    remaining = quarantine_after - crashes
    if remaining <= 1:
        return 1
    return max(1, min(half, round(math.pow(suspects, (remaining - 1) / remaining))))
