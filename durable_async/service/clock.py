"""The service's clock: the system's clock, except that it never goes back while the process runs."""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """Returns epoch seconds. It follows the system's clock forward at once. When that is put back, it continues from
    its own time.

    So a wait of three seconds takes three seconds, even if the system's clock is put back meanwhile. After that, this
    clock is ahead until the process ends or the system's clock has caught up.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._wall_before = wall()
        self._monotonic_before = monotonic()

    def __call__(self) -> float:
        passed = self._wall_before + self._monotonic() - self._monotonic_before
        wall = self._wall()
        if wall > passed:
            self._wall_before, self._monotonic_before = wall, self._monotonic()
            return wall
        return passed


steady_time: SteadyClock = SteadyClock()
"""The clock of this process."""
