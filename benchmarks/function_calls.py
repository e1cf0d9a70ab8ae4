"""How many of its own functions each SDK goes through for a step: a figure that no busy machine can disturb."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from benchmarks.contenders import FORK, OFFICIAL, OURS, Contender, python_of
from benchmarks.processes import Service, run_module, serving

NAME = "function-calls"
CONTENDERS = (OURS, OFFICIAL, FORK)
STEPS = 200


def compare(venvs: Path) -> None:
    print(f"{NAME}: an SDK's own Python functions entered, resumed coroutines counted again")
    print(f"  {'':<10}{'fresh step':>14}{'replayed step':>16}{'invocation':>14}")
    with serving() as service:
        for contender in CONTENDERS:
            python = python_of(contender, venvs)
            one = _calls(contender, python, service, steps=1, completed=0)
            fresh = (_calls(contender, python, service, steps=STEPS + 1, completed=0) - one) / STEPS
            replayed = (_calls(contender, python, service, steps=STEPS + 1, completed=STEPS) - one) / STEPS
            print(f"  {contender.name:<10}{fresh:>14.1f}{replayed:>16.1f}{one - fresh:>14.0f}")
    print()


def _calls(contender: Contender, python: str, service: Service, *, steps: int, completed: int) -> int:
    event = {"steps": steps, "body_seconds": 0}
    warm_up = service.envelope(service.new_execution(event | {"steps": 1}))
    envelope = service.envelope(service.new_execution(event, completed=completed))
    task = {
        "warm_up": [warm_up],
        "envelope": envelope,
        "count_calls_of": contender.package,
        "spawned_at": perf_counter(),
    }
    printed = run_module(python, f"benchmarks.adapters.{contender.name}", task, service)
    assert printed is not None
    calls: int = printed["calls"]
    return calls
