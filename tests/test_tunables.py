"""Checks that tests give values as parameters, and change no global of a module of the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

from .test_architecture import PACKAGE

ROOT = PACKAGE.parent

# The simulation makes the system wrong on purpose, to show that it notices.
EXEMPT = {ROOT / "tests/simulation/breakages.py"}

PATCHING = {"setattr", "delattr", "patch", "object", "setitem", "delitem", "dict"}


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _modules_of_the_package(tree: ast.AST) -> dict[str, str]:
    """The names in a file that stand for modules of the package, with what they stand for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: to for name, to in found.items() if to.split(".")[0] == PACKAGE.name and _is_module(to)}


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    return [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []


def _begins_with_the_package(node: ast.expr) -> bool:
    text = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return isinstance(text, ast.Constant) and str(text.value).startswith(f"{PACKAGE.name}.")


def changes_of_modules(text: str) -> Iterator[str]:
    """Yield each statement that sets or deletes an attribute of a module of the package."""
    tree = ast.parse(text)
    modules = _modules_of_the_package(tree)
    for node in ast.walk(tree):
        for target in _targets(node):
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) in modules:
                yield ast.unparse(node)
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rsplit(".", 1)[-1] in PATCHING:
            patched = node.args[0]
            owner = patched.args[0] if isinstance(patched, ast.Call) and patched.args else patched  # vars(module)
            owner = owner.value if isinstance(owner, ast.Attribute) and owner.attr == "__dict__" else owner
            if ast.unparse(owner) in modules or _begins_with_the_package(patched):
                yield ast.unparse(node)


def test_no_test_changes_a_global_of_a_module():
    paths: list[Path] = [path for folder in ("tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    found = [
        f"{path}: {change}" for path in paths if path not in EXEMPT for change in changes_of_modules(path.read_text())
    ]
    assert found == []


def test_a_change_is_noticed_however_it_is_written():
    text = """
import durable_async.retry
from durable_async.service.functions import workers
from durable_async.service.store.sqlite import SqliteStore, schema as tables
from elsewhere import limits
workers.SECONDS = 1
workers.SECONDS += 1
del workers.SECONDS
durable_async.retry.SECONDS = 1
setattr(tables, "SECONDS", 1)
monkeypatch.setattr(tables, "SECONDS", 1)
monkeypatch.setattr("durable_async.retry.SECONDS", 1)
monkeypatch.setattr(f"durable_async.{name}.SECONDS", 1)
monkeypatch.setitem(vars(tables), "SECONDS", 1)
mock.patch.object(tables, "SECONDS", 1)
limits.SECONDS = 1
store = SqliteStore(path)
store.seconds = 1
monkeypatch.setattr(store, "seconds", 1)
monkeypatch.setattr(limits, "SECONDS", 1)
"""
    assert len([*changes_of_modules(text)]) == 10
