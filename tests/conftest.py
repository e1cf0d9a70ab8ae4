import pytest
from hypothesis import settings

from durable_async._engine import invocation

from .loops import LOOP
from .property_runs import FACTOR, examples

# The normal suite tries the same examples each time, so that it fails because of a change; longer runs try new ones.
# There is no deadline, because other programs may be busy.
settings.register_profile("scaled", max_examples=examples(100), derandomize=FACTOR == 1, deadline=None)
settings.load_profile("scaled")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": LOOP == "uvloop"}


@pytest.fixture(autouse=True)
def nothing_is_abandoned():
    """No workflow leaves a task behind, but for those that try to."""
    yield
    left = [repr(task) for task in invocation._abandoned]
    invocation._abandoned.clear()
    assert not left


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What a test logs may be no Unicode text, which processes that share out the tests cannot tell each other."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report
