"""Counts `Any` in the package, so that it becomes less and not more."""

import ast
import io
import tokenize
from collections.abc import Iterator

from .test_architecture import PACKAGE

MAX_PER_1000_LINES = 8.5
"""The official SDK for Python has 17."""

_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def _code_lines(text: str, tree: ast.Module) -> int:
    """Return how many lines have code: no blank lines, comments and docstrings."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NOT_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    texts = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return len(lines.difference(*(range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in texts)))


def _written(node: ast.AST) -> Iterator[str]:
    """Yield the names in a node; also those in a text, which may be a type."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "Any" in node.value:
        try:
            inside = ast.parse(node.value, mode="eval")
        except SyntaxError:
            return
        for part in ast.walk(inside):
            yield from _written(part) if not isinstance(part, ast.Constant) else ()


def count_any(text: str) -> tuple[int, int]:
    """Return how often `Any` is written in a module, without its import, and the number of its lines of code."""
    tree = ast.parse(text)
    return sum(name == "Any" for node in ast.walk(tree) for name in _written(node)), _code_lines(text, tree)


def test_the_count_takes_texts_and_leaves_out_imports_comments_and_docstrings():
    text = '''"""Any docstring.

Any."""
from typing import Any, cast
import typing
# Any

def call(first: Any, second: "dict[str, Any]") -> typing.Any:
    """Any."""
    return cast("Any", "Any text")
'''
    assert count_any(text) == (4, 4)


def test_any_does_not_become_more():
    counts = [count_any(path.read_text()) for path in PACKAGE.rglob("*.py")]
    found, lines = (sum(column) for column in zip(*counts, strict=True))
    assert 1000 * found / lines <= MAX_PER_1000_LINES
