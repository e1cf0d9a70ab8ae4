"""The rules that the code cites are in the repository."""

import re

import pytest

from .pages import DOCS, ROOT

CITED = re.compile(r'protocol\.md,?\s+((?:"[^"]+"(?:, |,\s+|\s+and\s+)?)+)')
MODULES = sorted((ROOT / "durable_async").rglob("*.py"))
HEADINGS = set(re.findall(r"^## (.+)$", (DOCS / "reference" / "protocol.md").read_text(), re.MULTILINE))


def citations(text):
    return [" ".join(heading.split()) for found in CITED.findall(text) for heading in re.findall(r'"([^"]+)"', found)]


def test_every_cited_section_exists():
    cited = {
        (str(module.relative_to(ROOT)), heading) for module in MODULES for heading in citations(module.read_text())
    }
    assert len(cited) > 20
    assert [(module, heading) for module, heading in sorted(cited) if heading not in HEADINGS] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_nothing_cites_what_the_reader_does_not_have(module):
    text = module.read_text()
    assert not re.search(r"(protocol|wire's|service's) reference|\bsections? [0-9]", text)
    assert text.count("protocol.md") == len(CITED.findall(text)), "a citation names its sections in quotes"
