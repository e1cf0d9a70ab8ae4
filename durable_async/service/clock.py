"""The service's time: the wall's, but it never goes back while the process runs."""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """Epoch seconds. Follows the wall's clock forward at once; when that is put back, goes on from where it was.

    So a wait of three seconds takes three seconds though the wall's clock is put back meanwhile. After that this one is
    ahead of it, until the process ends or the wall's has caught up.
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
"""The process's own."""
