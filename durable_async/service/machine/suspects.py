"""Decides which executions may have ended the service's process, and how many of these suspects run at once.

When a process ends without notice, every execution that ran in it may be the cause. One or two crashes prove little: a
deployment or a lack of memory looks the same. After ``SHARED_CRASHES`` crashes in a row, an execution is a suspect
until one of its invocations ends without a crash. Suspects run in groups, and each crash halves the group that can
contain the cause, or divides it by more if fewer crashes are left before quarantine. Before its last possible crash, a
suspect runs alone. So an execution that ends the process each time is quarantined after ``quarantine_after`` crashes
(or ``SHARED_CRASHES + 1``, if that is more and others ran at the same time), and no execution is quarantined that only
ran at the same time.

An invocation in which a step succeeded leads to no quarantine either, because the next one gets further: only
executions that end the process at the same place each time would never end.

When a group runs for longer than ``trial_seconds``, the next group starts too, and a crash counts for both. The order
of the groups is reversed after each crash, so after every second crash the cause runs before the others. This needs at
most one crash more, if the cause ends the process within its trial.
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
    """An execution whose invocation ran when the process ended. ``crashes`` counts earlier crashes in a row."""

    id: str
    crashes: int


def culprit(interrupted: Iterable[Interrupted]) -> str | None:
    """Return the interrupted execution with the largest number of crashes in a row; None if several have it."""
    ranked = sorted(interrupted, key=lambda each: each.crashes, reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0].crashes == ranked[1].crashes):
        return None
    return ranked[0].id


def is_suspect(crashes: int) -> bool:
    """Return whether an execution with this number of crashes in a row is a suspect."""
    return crashes >= SHARED_CRASHES


def group_order(suspects: Iterable[str], crashes: int) -> list[str]:
    """Return the order in which suspects with ``crashes`` crashes in a row run: ids ascending or descending."""
    return sorted(suspects, reverse=crashes % 2 == 1)


def trial_seconds(crashes: int) -> float:
    """Return how long a group runs before the next one starts too: a minute at first, longer after each crash."""
    return min(_LONGEST_TRIAL, _FIRST_TRIAL * 2.0 ** (crashes - SHARED_CRASHES))


def group_size(suspects: int, crashes: int, quarantine_after: int | None) -> int:
    """Return how many suspects run at once, of ``suspects`` that have ``crashes`` crashes in a row each.

    :return: at most half of them, rounded up; 1 when their next crash leads to quarantine
    """
    half = max(1, (suspects + 1) // 2)
    if quarantine_after is None:
        return half
    remaining = quarantine_after - crashes
    if remaining <= 1:
        return 1
    return max(1, min(half, round(math.pow(suspects, (remaining - 1) / remaining))))
