"""The event loop on which tests run that do not name one: asyncio's own, or uvloop with `DURABLE_ASYNC_LOOP=uvloop`.

Tests whose time is virtual by `TestService` or `VirtualTime` need asyncio's own loop. Programs that are run to their end
in `tests/programs`, `tests/order` and `tests/libraries` have virtual time on both.
"""

import importlib.util
import os

import pytest

LOOP = os.environ.get("DURABLE_ASYNC_LOOP", "asyncio")

needs_uvloop = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
