from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from .environments import MINISTACK, OFFICIAL, RUNTIME, Environment, runtime_emulator
from .processes import AWS_SETTINGS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: installs and runs the peers; only with DURABLE_ASYNC_INTEROP=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("DURABLE_ASYNC_INTEROP") == "1":
        return
    not_asked_for = pytest.mark.skip("installs the peers from the registry: set DURABLE_ASYNC_INTEROP=1")
    for item in items:
        if item.get_closest_marker("interop"):
            item.add_marker(not_asked_for)


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
