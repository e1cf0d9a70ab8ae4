"""What the tests in a browser need from Playwright. Without it, the modules that import this are skipped."""

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need the package playwright")
expect = playwright.expect
expect.set_options(timeout=20_000)  # milliseconds; other tests may have the machine
