"""What the adapters have in common: counting, and the time of one invocation. Standard library only."""

from __future__ import annotations

import json
import resource
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter, process_time
from types import FrameType
from typing import Any


class Marks:
    bodies = 0  # that ran
    returned_at = 0.0  # the workflow, if it says so


def body_ran() -> None:
    """Called by each body of a step."""
    Marks.bodies += 1


def workflow_returns() -> None:
    """Called by the workflow as the last thing it does."""
    Marks.returned_at = perf_counter()


def measure(invoke: Callable[[dict[str, Any]], Any]) -> None:
    """Read ``{"spawned_at": ..., "warm_up": [envelope], "envelope": ...}``, invoke, print figures in seconds.

    CPU time is that of all threads. The tail is what passes between the workflow's return and the handler's. Memory is
    the bytes by which the peak of the process grows meanwhile. The life is that of the process until then;
    ``perf_counter`` counts for all processes alike.
    """
    task = json.load(sys.stdin)
    for envelope in task["warm_up"]:
        invoke(envelope)
    if "count_calls_of" in task:
        print(json.dumps({"calls": own_calls(task["count_calls_of"], lambda: invoke(task["envelope"]))}), flush=True)
        return
    ran_before = Marks.bodies
    memory = _peak_memory()
    wall, cpu = perf_counter(), process_time()
    output = invoke(task["envelope"])
    ended, cpu_ended = perf_counter(), process_time()
    figures = {
        "wall": ended - wall,
        "cpu": cpu_ended - cpu,
        "tail": ended - Marks.returned_at if Marks.returned_at else 0.0,  # the floor has none, nor has what suspends
        "memory": _peak_memory() - memory,
        "life_wall": ended - task["spawned_at"],
        "life_cpu": cpu_ended,
    }
    print(json.dumps({"figures": figures, "output": output, "bodies": Marks.bodies - ran_before}), flush=True)


def compare(invocations: dict[str, Callable[[dict[str, Any]], Any]], between: Callable[[], None]) -> None:
    """Read ``{"warm_up": {name: envelope}, "rounds": [{name: envelope}]}``, invoke, print ``{name: [CPU seconds]}``.

    The invocations take turns in one process, so that whatever else the machine does meets all of them alike.

    :param between: called before each measured invocation
    """
    task = json.load(sys.stdin)
    for name, envelope in task["warm_up"].items():
        invocations[name](envelope)
    cpu: dict[str, list[float]] = {name: [] for name in invocations}
    for each in task["rounds"]:
        for name, envelope in each.items():
            between()
            began = process_time()
            invocations[name](envelope)
            cpu[name].append(process_time() - began)
    print(json.dumps({"cpu": cpu, "bodies": Marks.bodies}), flush=True)


def _peak_memory() -> int:
    """The most bytes that were resident at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def own_calls(package: str, invoke: Callable[[], Any]) -> int:
    """How many Python functions of ``package`` are entered, coroutines each time that they are resumed.

    In all threads that are started meanwhile.
    """
    calls: list[None] = []
    profile = _counter(package, calls)
    threading.setprofile(profile)
    sys.setprofile(profile)
    invoke()
    sys.setprofile(None)
    threading.setprofile(None)
    return len(calls)


@contextmanager
def calls_of_this_thread(package: str) -> Generator[list[None]]:
    """Yield a list that gets an item whenever a Python function of ``package`` is entered in this thread."""
    calls: list[None] = []
    sys.setprofile(_counter(package, calls))
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _counter(package: str, calls: list[None]) -> Callable[[FrameType, str, Any], None]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = spec.submodule_search_locations[0]

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            calls.append(None)  # to append is atomic

    return profile
