"""What holds the pages together: links, size, and the commands that are promised."""

import re
from pathlib import Path

import pytest

from .pages import DOCS, PAGES, README, ROOT, anchors, blocks, links, title

PYTEST = "-m pytest -n auto"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_index_leads_to_every_page():
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(index)}
    assert set(DOCS.rglob("*.md")) - linked == {index}


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 150


def commands() -> list[str]:
    return [line for block in blocks(README) if block.language == "bash" for line in block.text.splitlines()]


def test_the_two_commands_come_first_and_are_one_line_each():
    run, check = commands()[:2]
    assert "durable-async run docs/examples/order.py:fulfil" in run and check.endswith(PYTEST)
    assert all(command.startswith("python3 -m venv .venv && ") for command in (run, check))


def test_continuous_integration_runs_the_readmes_test_command():
    [check] = [command for command in commands() if command.endswith(PYTEST)]
    assert check in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_sources_named_in_prose_exist():
    """``docs/examples/order.py`` and the like, wherever they are mentioned."""
    named = re.compile(r"`((?:docs|tests|benchmarks|durable_async)/[\w/]+\.py)`")
    for page in PAGES:
        for name in named.findall(page.read_text()):
            assert (ROOT / Path(name)).exists(), f"{title(page)}: {name}"
