"""Each library, in each program that uses it: random naps, interruptions, in memory or not, tasks that start eagerly."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property_runs import examples

from .playing import PROGRAMS, check

FRAMEWORKS = {
    "openai_agents": "agents",
    "langchain": "langgraph",
    "llama_index_workflows": "workflows",
    "autogen": "autogen_agentchat",
    "google_adk": "google.adk",
    "strands_agents": "strands",
}
"""The modules of this folder, and what each one needs."""


def is_there(module: str) -> bool:
    """Return whether a module can be imported, and whether its package can."""
    package, _, rest = module.partition(".")
    return find_spec(package) is not None and (not rest or find_spec(module) is not None)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of the libraries are theirs
    import_module("tests.libraries.asyncio_libraries")
    for name, needed in FRAMEWORKS.items():
        if is_there(needed):
            import_module(f"tests.libraries.{name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
@settings(max_examples=examples(1), deadline=None, suppress_health_check=[*HealthCheck])
@given(st.integers(0, 2**32))
def test_a_program_that_uses_a_library_is_interrupted_and_comes_to_the_same_end(name, seed):
    if name == "strands_agents: graph" and sys.version_info < (3, 12):
        pytest.skip("asyncio.wait_for loses cancellations up to Python 3.11, so the graph goes on in ended invocations")
    library = name.partition(": ")[2].partition("_")[0]
    if name.startswith("asyncio_libraries: "):
        pytest.importorskip({"async": "async_lru"}.get(library, library))
    check(PROGRAMS[name], seed)


@pytest.mark.parametrize("name", [name for name, needed in FRAMEWORKS.items() if not is_there(needed)])
def test_a_framework_is_tried_where_it_is_installed(name):
    pytest.skip(f"nox -s libraries installs {FRAMEWORKS[name]}")
