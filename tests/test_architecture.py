"""The walls between the rooms, and what an import must not bring along."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_origin

import pytest

PACKAGE = Path(__file__).parent.parent / "durable_async"

# The rooms, and which others each may import, from the lowest to the highest. A module or package that is not named
# here may not exist.
KNOWS: dict[str, set[str]] = {
    "_wire": set(),
    "errors": set(),
    "plugins": set(),
    "_lazy": set(),
    "_counts": set(),
    "_excerpts": set(),
    "_options": set(),
    "_threads": {"_counts"},
    "_client_per_loop": set(),
    "_callables": set(),
    "_durations": {"_wire"},
    "_backoff": {"_durations"},
    "_raised": {"_excerpts", "errors"},
    "logs": {"_raised", "errors"},
    "retry": {"_backoff", "_durations", "_raised", "_wire", "errors"},
    "wait_strategy": {"_backoff", "_durations", "_wire"},
    "step_context": {"logs"},
    "serializers": {"_callables", "_client_per_loop", "_excerpts", "_lazy", "_raised", "_threads", "_wire", "errors"},
    "_arguments": {"_callables", "_wire", "serializers"},
    "config": {"_arguments", "_options", "_callables", "_durations", "retry", "serializers"},
    "operation_config": {"_durations", "_options", "_wire", "config", "serializers"},
    "batch_result": {"errors"},
    "batch_config": {"_counts", "_options", "batch_result", "config", "serializers"},
    "transport": {"_client_per_loop", "_lazy", "_wire", "errors"},
    "_engine": {
        "_excerpts",
        "_options",
        "_raised",
        "_threads",
        "_wire",
        "errors",
        "plugins",
        "step_context",
        "transport",
    },
    "_operations": {
        "_arguments",
        "_callables",
        "_durations",
        "_engine",
        "_raised",
        "_wire",
        "batch_config",
        "batch_result",
        "config",
        "errors",
        "operation_config",
        "retry",
        "serializers",
        "step_context",
        "wait_strategy",
    },
    "context": {
        "_arguments",
        "_callables",
        "_durations",
        "_engine",
        "_lazy",
        "_operations",
        "_wire",
        "batch_config",
        "config",
        "errors",
        "logs",
        "operation_config",
        "serializers",
        "step_context",
    },
    "handler": {
        "_arguments",
        "_callables",
        "_engine",
        "_lazy",
        "_threads",
        "_wire",
        "config",
        "context",
        "errors",
        "logs",
        "serializers",
        "transport",
    },
    "service.clock": set(),
    "service.own_tasks": set(),
    "service.computing": set(),
    "service.parsing": {"service.computing"},
    "service.model": {"_wire", "errors"},
    "service.machine": {"_excerpts", "_raised", "_wire", "errors", "service.model"},
    "service.functions": {"_callables", "_raised", "_threads", "_wire", "logs", "service.clock", "service.parsing"},
    "service.store": {"_wire", "errors", "service.machine", "service.model", "service.own_tasks"},
    "service.runtime": {
        "_counts",
        "_excerpts",
        "_wire",
        "service.clock",
        "service.computing",
        "service.functions",
        "service.machine",
        "service.model",
        "service.own_tasks",
        "service.parsing",
        "service.store",
    },
    "service.http": {
        "_lazy",
        "_wire",
        "service.functions",
        "service.model",
        "service.own_tasks",
        "service.parsing",
        "service.runtime",
        "service.store",
    },
    "ui": {"service.http", "service.model", "service.runtime"},
    "service": {
        "_lazy",
        "service.functions",
        "service.http",
        "service.machine",
        "service.model",
        "service.runtime",
        "service.store",
    },
    "otel": {"_raised", "errors", "logs", "plugins", "service.machine", "service.model"},
    "replay": {"_engine", "_lazy", "_wire", "errors", "handler", "service.machine", "service.model", "service.runtime"},
    "client": {
        "_callables",
        "_client_per_loop",
        "_durations",
        "_lazy",
        "_raised",
        "_wire",
        "errors",
        "handler",
        "serializers",
        "service.http",
        "service.machine",
        "service.model",
        "service.runtime",
        "transport",
    },
    "embedded": {
        "_arguments",
        "_callables",
        "_counts",
        "_durations",
        "_engine",
        "_lazy",
        "_threads",
        "_wire",
        "client",
        "errors",
        "handler",
        "otel",
        "service.clock",
        "service.functions",
        "service.http",
        "service.machine",
        "service.model",
        "service.own_tasks",
        "service.runtime",
        "service.store",
        "transport",
    },
    "testing": {
        "_durations",
        "_engine",
        "_lazy",
        "_wire",
        "client",
        "embedded",
        "errors",
        "handler",
        "replay",
        "service",
        "service.functions",
        "service.http",
        "service.machine",
        "service.model",
        "service.runtime",
        "step_context",
        "transport",
    },
    "cli": {
        "_client_per_loop",
        "_excerpts",
        "_wire",
        "client",
        "embedded",
        "errors",
        "handler",
        "otel",
        "replay",
        "serializers",
        "service.clock",
        "service.functions",
        "service.http",
        "service.machine",
        "service.model",
        "service.runtime",
        "service.store",
        "testing",
        "transport",
        "ui",
    },
}

# The rooms and modules of pure functions, and what they must not import: an event loop, a clock, randomness, input and
# output.
PURE = ("_wire", "service.model", "service.machine")
PURE_MODULES = (
    "_engine.failures",
    "_engine.outcomes",
    "_engine.phases",
    "_operations.batch_rules",
    "_operations.step_rules",
)
IMPURE = {"asyncio", "anyio", "threading", "time", "random", "secrets", "uuid", "os", "socket", "sqlite3"}


def _room(module: str) -> str | None:
    """The innermost room that has `module`, a dotted name inside the package; None for the package's own file."""
    places = [module.rsplit(".", cut)[0] for cut in range(module.count(".") + 1)]
    return next((place for place in places if place in KNOWS), None)


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield module.removesuffix("__init__").rstrip("."), ast.parse(path.read_text())


def _imported(tree: ast.Module) -> Iterator[str]:
    """Every module that `tree` imports, anywhere in it; of `from package import name` the dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imports() -> Iterator[tuple[str, str, str]]:
    """(room, room that it imports, where)"""
    for module, tree in _modules():
        for name in _imported(tree):
            room, known = _room(module), _room(name.removeprefix("durable_async."))
            if name.startswith("durable_async.") and room is not None and known is not None and room != known:
                yield room, known, f"{module} imports {name}"


def test_every_module_is_in_a_room():
    assert [module for module, _ in _modules() if module and _room(module) is None] == []


def test_imports_point_one_way():
    found = list(_imports())
    assert len(found) > 100
    assert [where for room, known, where in found if known not in KNOWS[room]] == []


def test_the_walls_have_no_hole_that_nothing_uses():
    used = {(room, known) for room, known, _ in _imports()}
    assert [(room, known) for room in KNOWS for known in sorted(KNOWS[room]) if (room, known) not in used] == []


def test_no_room_imports_one_above_it():
    order = [*KNOWS]
    above = [(room, known) for room in KNOWS for known in KNOWS[room] if order.index(known) > order.index(room)]
    assert above == []


def test_no_modules_of_the_engine_import_each_other():
    """Not for a type, and not in a function either: what two of them need belongs below both."""
    prefix = "durable_async._engine."
    imports = {
        module: {name.removeprefix(prefix).split(".")[0] for name in _imported(tree) if name.startswith(prefix)}
        for path, tree in _modules()
        if (module := path.removeprefix("_engine.")) != path
    }
    left = {**imports}
    while lowest := [module for module in left if not imports[module] & left.keys()]:
        for module in lowest:
            del left[module]
    assert len(imports) > 20
    assert left == {}


def test_pure_modules_import_neither_a_loop_nor_a_clock():
    assert set(PURE_MODULES) <= {module for module, _ in _modules()}
    found = [
        f"{module} imports {name}"
        for module, tree in _modules()
        if _room(module) in PURE or module in PURE_MODULES
        for name in _imported(tree)
        if name.split(".")[0] in IMPURE
    ]
    assert found == []


def _loaded_by(statement):
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "unwanted", ["aiohttp", "aiobotocore", "botocore", "cattrs", "anyio", "sqlite3", "click", "rich"]
)
def test_the_import_is_light(unwanted):
    loaded = _loaded_by("import durable_async")
    assert "durable_async.handler" in loaded
    assert unwanted not in loaded
    assert "durable_async.service" not in loaded


@pytest.mark.parametrize(
    "unwanted",
    [
        "_backoff",
        "_engine.error_objects",
        "_engine.failures",
        "_engine.observer",
        "_raised",
        "_threads",
        "batch_config",
        "batch_result",
        "operation_config",
        "_operations.batch",
        "_operations.callback",
        "_operations.child",
        "_operations.compensation",
        "_operations.condition",
        "_operations.group",
        "_operations.invoke",
        "_operations.retried",
        "_operations.timeout",
        "_operations.wait",
        "plugins",
        "retry",
        "transport",
        "wait_strategy",
    ],
)
def test_the_import_leaves_out_what_a_simple_step_does_not_use(unwanted):
    assert f"durable_async.{unwanted}" not in _loaded_by("import durable_async")


@pytest.mark.parametrize("unwanted", ["random", "uuid", "zlib"])
def test_the_import_leaves_out_modules_of_python_that_a_simple_step_does_not_use(unwanted):
    assert unwanted not in _loaded_by("import durable_async")


def test_the_import_loads_no_more_modules_than_it_did():
    loaded = _loaded_by("import durable_async") - _loaded_by("import attrs")
    unlisted = {"_missing_stdlib_info"}  # of the standard library of Python 3.15
    assert {name.split(".")[0] for name in loaded} - sys.stdlib_module_names - unlisted == {"durable_async"}
    assert len([name for name in loaded if name.split(".")[0] == "durable_async"]) <= 51


def test_names_that_are_imported_late_are_listed_and_found_like_the_others():
    code = "import durable_async as d; assert {*d.__all__} <= {*dir(d)}; [getattr(d, name) for name in d.__all__]"
    assert "durable_async.batch_config" in _loaded_by(code)


def test_the_public_names_are_those_that_are_documented_as_such():
    import durable_async

    assert sorted(durable_async.__all__) == durable_async.__all__
    values = [getattr(durable_async, name) for name in durable_async.__all__]
    assert all(value.__doc__ for value in values if not get_origin(value))  # a union has none of its own
