"""The examples of the documentation survive every crash, but for those that show a mistake."""

from __future__ import annotations

import asyncio
import contextlib
import io
from importlib.util import find_spec

import pytest

from durable_async.embedded import DurableService
from durable_async.testing import explore

from .pages import EXAMPLES, PAGES, blocks, new_module, title

WITH_CODE = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
MISTAKES = {"by_the_clock", "from_a_thread", "forgetful", "nested"}
NOT_EXPLORED = {
    "two_of",  # what else had begun when its batch ended is decided again after a crash
    *(
        "ask",
        "buy",
        "research",
        "patient",
    ),  # their libraries read the clock for ids and statistics, which decide nothing
}
RUNS = 16  # of each example


@pytest.fixture
def started(monkeypatch, tmp_path):
    """What the embedded service starts: handler, event and the handlers that it knows, with their names."""
    found = []
    start = DurableService.start

    async def noted(self, function, event, **options):
        found.append((function, event, {handler: name for handler, (name, _) in self._names.items()}))
        return await start(self, function, event, **options)

    monkeypatch.setattr(DurableService, "start", noted)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("page", WITH_CODE, ids=title)
def test_the_examples_of_a_page_survive_every_crash(page, started, monkeypatch):
    module = new_module(monkeypatch)
    for block in blocks(page):
        if block.language == "python" and block.runs and (block.needs is None or find_spec(block.needs)):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, str(page), "exec", dont_inherit=True), module.__dict__)
                explore_all(started, f"{title(page)}:{block.line}")


def explore_all(started, where):
    runs, started[:] = [*started], []
    for function, event, known in {id(run[0]): run for run in runs}.values():
        handler = next((handler for handler, name in known.items() if function in (handler, name)), None)
        if handler is None or handler.__name__ in NOT_EXPLORED:  # None: it names a version
            continue
        others = [each for each in known if each is not handler]
        found = asyncio.run(explore(handler, event, *others, hash_seeds=(), max_runs=RUNS))
        started.clear()
        assert found.passed == (handler.__name__ not in MISTAKES), f"{where}: {handler.__name__}: {found}"
