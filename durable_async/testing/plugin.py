"""The pytest plugin: fixtures that make services, and golden histories.

Each fixture is a plain function that makes an asynchronous context manager. So they work on whatever loop the test runs
on, under anyio's plugin and under pytest-asyncio in both of its modes, and start nothing by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, Unpack

import pytest

if TYPE_CHECKING:
    from durable_async.embedded import DurableService
    from durable_async.embedded.service import PlainFunction
    from durable_async.handler import AnyHandler, DurableHandler
    from durable_async.testing import ServiceOptions, TestService
    from durable_async.testing.golden import GoldenHistory

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

MakeService: TypeAlias = "Callable[..., AbstractAsyncContextManager[DurableService]]"
MakeServer: TypeAlias = "Callable[..., AbstractAsyncContextManager[str]]"


class MakeTestService(Protocol):
    """Makes a :class:`~durable_async.testing.TestService`, and takes the same arguments."""

    def __call__(
        self,
        handler: DurableHandler[EventT, ResultT],
        /,
        *others: AnyHandler | PlainFunction,
        seed: int = 0,
        **options: Unpack[ServiceOptions],
    ) -> TestService[EventT, ResultT]: ...


_RECORD = "--record-histories"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("durable_async", "durable executions")
    group.addoption(
        _RECORD, action="store_true", help="Write the histories that tests give to golden_history, instead of checking."
    )


@pytest.fixture
def durable_test_service() -> MakeTestService:
    """Make a TestService: ``async with durable_test_service(fulfil) as service:``. In memory, and in virtual time."""
    from durable_async.testing import TestService

    def make(
        handler: DurableHandler[EventT, ResultT],
        *others: AnyHandler | PlainFunction,
        seed: int = 0,
        **options: Unpack[ServiceOptions],
    ) -> TestService[EventT, ResultT]:
        return TestService(handler, *others, seed=seed, **options)

    return make


@pytest.fixture
def durable_file_service(tmp_path: Path) -> MakeService:
    """Make a DurableService in real time: ``async with durable_file_service(fulfil) as service:``. All services of one
    test have the same temporary file, so that a second one takes up what the first one left."""
    from durable_async.embedded import DurableService

    @asynccontextmanager
    async def make(*functions: AnyHandler | PlainFunction, **options: Any) -> AsyncGenerator[DurableService]:
        async with DurableService(tmp_path / "durable.db", **options) as service:
            for function in functions:
                service.register(function)
            yield service

    return make


@pytest.fixture
def durable_http_server() -> MakeServer:
    """Serve Lambda's API on a free port of this machine: ``async with durable_http_server(fulfil) as url:``. It is in
    real time, and in memory."""
    from durable_async.embedded import DurableService
    from durable_async.service.http import serve

    @asynccontextmanager
    async def make(*functions: AnyHandler | PlainFunction, **options: Any) -> AsyncGenerator[str]:
        async with DurableService(**options) as service, serve(service.api) as url:
            for function in functions:
                service.register(function)
            yield url

    return make


@pytest.fixture
def golden_history(request: pytest.FixtureRequest) -> GoldenHistory:
    """Compare an execution with the history that was recorded beside the test: ``await golden_history(execution)``. The
    recorded one, in ``histories/``, is replayed against today's code. ``pytest --record-histories`` writes it."""
    from durable_async.testing.golden import GoldenHistory

    node = request.node
    path = Path(node.path).parent / "histories" / Path(node.path).stem
    return GoldenHistory(path, str(node.name), records=bool(request.config.getoption(_RECORD)))
