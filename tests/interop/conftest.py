from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from .environments import MINISTACK, OFFICIAL, RUNTIME, Environment, runtime_emulator
from .processes import AWS_SETTINGS

HERE = Path(__file__).parent
ASKED_FOR = os.environ.get("DURABLE_ASYNC_INTEROP") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not ASKED_FOR:
        ours = [item for item in items if HERE in item.path.parents]
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ASKED_FOR:
        terminalreporter.write_line(
            "Not run: tests/interop, which installs the peers. DURABLE_ASYNC_INTEROP=1 asks for it."
        )


@pytest.fixture(scope="session", autouse=True)
def _settings() -> Generator[None]:
    """The AWS clients of this process look at nothing of this machine's own, as those of the peers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in AWS_SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def official() -> Environment:
    """The official SDK and the emulator that comes with it."""
    return OFFICIAL.make()


@pytest.fixture(scope="session")
def runtime() -> Environment:
    """Lambda's runtime client, and the binary that stands for the rest of Lambda."""
    runtime_emulator()
    return RUNTIME


@pytest.fixture(scope="session")
def ministack() -> Environment:
    return MINISTACK.make()
