"""Every Python block of README and docs runs, or is marked as not run and compiles. What it prints is what is shown."""

import ast
import contextlib
import io
from importlib.util import find_spec

import pytest

from .pages import EXAMPLES, PAGES, blocks, new_module, title

WITH_CODE = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.fixture
def module(monkeypatch, tmp_path):
    """One namespace for a page. A module, for what resolves annotations looks for one."""
    module = new_module(monkeypatch)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize("page", WITH_CODE, ids=title)
def test_the_blocks_of_a_page_run_in_their_order(page, module):
    for block in blocks(page):
        if block.language != "python":
            continue
        tree = ast.increment_lineno(ast.parse(block.text), block.line - 1)  # errors then name the page's line
        code = compile(tree, str(page), "exec", dont_inherit=True)
        if not block.runs or (block.needs is not None and find_spec(block.needs) is None):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, module.__dict__)
        if block.output is not None or printed.getvalue():
            assert printed.getvalue() == block.output, f"{title(page)}:{block.line}"


def test_few_blocks_are_not_run():
    python = [block for page in PAGES for block in blocks(page) if block.language == "python"]
    assert len(python) > 15
    assert sum(not block.runs for block in python) <= len(python) / 5
