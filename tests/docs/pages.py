"""The documentation as data: its pages, their code blocks and their links."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

NOT_RUN = "<!-- not run -->"
"""Stands before a Python block that is shown and must compile, but cannot run where the tests do."""

_NEEDS = re.compile(r"<!-- needs ([\w.]+) -->$")
"""Stands before a Python block that runs where a module is installed, and must compile elsewhere."""

_FENCE = re.compile(r"```(\w*)$")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def new_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return the module in which the blocks of a page run. It can be imported as ``documented``."""
    module = types.ModuleType("documented")
    del module.__spec__  # from Python 3.15 on, a trace warns of a module whose spec has no loader
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


@attrs.frozen
class Block:
    """A fenced block.

    :ivar line: of its first line in the page, from 1
    :ivar needs: the module without which it does not run; None: it needs none
    :ivar output: what the page says that a Python block prints: the ``text`` block that follows it directly
    """

    language: str
    text: str
    line: int
    runs: bool
    output: str | None = None
    needs: str | None = None


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    before = ""  # the last line with something on it, outside the blocks
    opened: tuple[str, int] | None = None
    inside: list[str] = []
    follows_block = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is not None and line == "```":
            language, start = opened
            text = "".join(f"{each}\n" for each in inside)
            if language == "text" and follows_block and found[-1].language == "python":
                found[-1] = attrs.evolve(found[-1], output=text)
            needs = _NEEDS.match(before)
            found.append(Block(language, text, start, runs=before != NOT_RUN, needs=needs and needs[1]))
            opened, follows_block, before = None, True, ""
        elif opened is not None:
            inside.append(line)
        elif fence:
            opened, inside = (fence[1], number + 1), []
        elif line.strip():
            before, follows_block = line.strip(), False
    assert opened is None, f"{title(page)}: the block from line {opened} has no end"
    return found


def prose(page: Path) -> str:
    """The page without its blocks."""
    lines: list[str] = []
    in_block = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            in_block = not in_block
        elif not in_block:
            lines.append(line)
    return "\n".join(lines)


def links(page: Path) -> Iterator[str]:
    """The targets of the page's links into the repository."""
    for target in _LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The names by which the page's headings can be linked to, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
