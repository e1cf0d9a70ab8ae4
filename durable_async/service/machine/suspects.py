"""Which executions are suspected of having ended the service's process, and how many of them run side by side.

When a process ends without notice, everything that ran in it may be the cause. One crash, or two, say little: a deploy
and a lack of memory look the same. From ``SHARED_CRASHES`` crashes in a row on, an execution is a suspect until an
invocation of it ends without a crash. Suspects run in groups, and each crash halves the group that can be the cause, or
divides it by more where fewer crashes are left before quarantine. Before its last one, a suspect runs with no other
suspect beside it. So what ends the process each time is quarantined after ``quarantine_after`` crashes (after
``SHARED_CRASHES + 1`` if that is more and others ran beside it), and nothing that shared each of its crashes is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

SHARED_CRASHES = 3


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
