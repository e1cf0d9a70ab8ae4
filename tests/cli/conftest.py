import pytest

from .command import serving


@pytest.fixture(scope="session")
def service():
    """One server for all tests, each of which uses execution names of its own."""
    with serving() as service:
        yield service
