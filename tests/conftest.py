import pytest

from durable_async.engine import invocation


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_is_abandoned():
    """No workflow leaves a task behind, but for those that try to."""
    yield
    left = [repr(task) for task in invocation._abandoned]
    invocation._abandoned.clear()
    assert not left
