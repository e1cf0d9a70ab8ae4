"""Checks how docstrings begin: those of functions with a verb, all others not in the middle of a sentence."""

import ast
from collections.abc import Iterator

from .test_architecture import _modules

# The first word of the docstring of a function. A verb that is missing here can be added.
VERBS = frozenset(
    [
        "accept",
        "add",
        "admit",
        "allow",
        "answer",
        "append",
        "apply",
        "ask",
        "attempt",
        "await",
        "begin",
        "bind",
        "bring",
        "build",
        "call",
        "called",
        "cancel",
        "check",
        "choose",
        "clear",
        "close",
        "collect",
        "compare",
        "complete",
        "connect",
        "continue",
        "convert",
        "count",
        "create",
        "decide",
        "decode",
        "decrypt",
        "delete",
        "deliver",
        "describe",
        "disable",
        "discard",
        "do",
        "drain",
        "draw",
        "drive",
        "drop",
        "encode",
        "encrypt",
        "end",
        "enter",
        "evaluate",
        "evict",
        "exit",
        "export",
        "fail",
        "fetch",
        "find",
        "fire",
        "flush",
        "follow",
        "forget",
        "form",
        "format",
        "free",
        "get",
        "give",
        "go",
        "hand",
        "handle",
        "have",
        "import",
        "insert",
        "install",
        "invoke",
        "keep",
        "kill",
        "leave",
        "let",
        "list",
        "load",
        "lock",
        "log",
        "look",
        "make",
        "mark",
        "measure",
        "move",
        "note",
        "open",
        "parse",
        "pass",
        "pause",
        "perform",
        "poll",
        "post",
        "print",
        "prove",
        "put",
        "raise",
        "read",
        "record",
        "redrive",
        "refuse",
        "register",
        "release",
        "remove",
        "repeat",
        "replace",
        "replay",
        "report",
        "request",
        "reset",
        "resolve",
        "restart",
        "resume",
        "return",
        "ring",
        "run",
        "save",
        "say",
        "send",
        "serve",
        "set",
        "show",
        "skip",
        "sleep",
        "sort",
        "split",
        "stand",
        "start",
        "stop",
        "store",
        "suspend",
        "sweep",
        "switch",
        "take",
        "tell",
        "translate",
        "try",
        "turn",
        "unlock",
        "update",
        "use",
        "wait",
        "wake",
        "warn",
        "watch",
        "widen",
        "write",
        "yield",
    ]
)

# What a docstring does not begin with, whatever it describes.
FRAGMENTS = frozenset(["as", "at", "before", "by", "due", "for", "in", "of", "on", "to", "with", "whose", "who"])

_NAMED_LIKE_ATTRIBUTES = {"property", "cached_property"}


def _first_word(docstring: str) -> str:
    return docstring.split(maxsplit=1)[0].rstrip(",.;:").lower()


def _is_attribute(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(ast.unparse(each).rsplit(".", 1)[-1] in _NAMED_LIKE_ATTRIBUTES for each in decorators)


def breaks_the_rules(node: ast.AST, docstring: str) -> bool:
    word = _first_word(docstring)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_attribute(node):
        return word not in VERBS
    return word in FRAGMENTS


def _broken() -> Iterator[str]:
    """Yield where each docstring is that breaks the rules, and its first line."""
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                docstring = ast.get_docstring(node)
                if docstring and breaks_the_rules(node, docstring):
                    yield f"{module}:{getattr(node, 'name', '')}: {docstring.splitlines()[0]}"


def test_docstrings_begin_with_a_verb():
    assert [*_broken()] == []


def test_a_verb_and_a_fragment_are_told_apart():
    function, klass = ast.parse("def f(): ...").body[0], ast.parse("class C: ...").body[0]
    assert not breaks_the_rules(function, "Return the sum.")
    assert breaks_the_rules(function, "The sum.")
    assert breaks_the_rules(klass, "Of a sum.")
    assert not breaks_the_rules(klass, "The sum.")
