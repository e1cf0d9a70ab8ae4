"""A seed is one run, no run violates an invariant, and a system that is broken on purpose is noticed.

``DURABLE_ASYNC_SIMULATION_SEEDS`` is how many seeds are run; ``nox -s soak_simulation`` runs many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from .breakages import BREAKAGES, Breakage
from .world import simulate

SEEDS = int(os.environ.get("DURABLE_ASYNC_SIMULATION_SEEDS") or 160)
_PORTION = 20
_MAX_SEEDS = 1000  # within which a breakage must be noticed

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.mark.parametrize("first", range(0, SEEDS, _PORTION))
def test_no_seed_violates_an_invariant(first):
    for seed in range(first, min(first + _PORTION, SEEDS)):
        result = simulate(seed)
        assert not result.wrong, str(result)


def digest(seeds: range) -> str:
    traces = "\n".join(line for seed in seeds for line in simulate(seed).trace)
    return sha256(traces.encode()).hexdigest()


def test_a_seed_is_the_same_run_in_each_process():
    here = digest(range(12))
    assert digest(range(12)) == here
    command = f"from {__name__} import digest; print(digest(range(12)))"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda each: each.what)
def test_it_is_noticed_that(breakage: Breakage):
    with breakage.applied():
        noticed = any(simulate(seed).wrong for seed in range(_MAX_SEEDS))
    assert noticed, f"no seed below {_MAX_SEEDS} notices that {breakage.what}"
