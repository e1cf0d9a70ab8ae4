"""The walls between the rooms, and what an import must not bring along."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "durable_async"

# Which rooms a room may know, besides itself. Whoever is missing here may know everybody.
KNOWS = {
    "wire": set(),
    "errors": set(),
    "durations": {"wire"},
    "backoff": {"durations", "wire"},
    "raised": {"errors"},
    "retry": {"backoff", "durations", "errors", "raised", "wire"},
    "wait_strategy": {"backoff", "durations", "wire"},
    "logs": set(),
    "plugins": set(),
    "step_context": {"logs"},
    "lazy": set(),
    "threads": set(),
    "callables": set(),
    "arguments": {"callables", "serializers", "wire"},
    "serializers": {"callables", "errors", "lazy", "raised", "threads", "wire"},
    "config": {"arguments", "durations", "retry", "serializers", "wire"},
    "operation_config": {"config", "durations", "retry", "serializers", "wire"},
    "batch_result": {"errors"},
    "batch_config": {"batch_result", "config", "serializers"},
    "transport.base": {"errors", "wire"},
    "transport.aws": {"errors", "transport._aiobotocore", "transport.base", "wire"},
    "engine": {"errors", "raised", "step_context", "threads", "transport.base", "wire", "plugins"},
    "operations": {
        "arguments",
        "batch_config",
        "batch_result",
        "callables",
        "config",
        "engine",
        "errors",
        "operation_config",
        "retry",
        "serializers",
        "step_context",
        "wait_strategy",
        "wire",
        "plugins",
        "raised",
    },
    "service": {"callables", "errors", "lazy", "raised", "threads", "wire"},
}


def _room(module):
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "transport" else parts[0]


def _imports():
    """(room, room it knows, where)"""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("durable_async"):
                names = [node.module]
                if node.module in ("durable_async", "durable_async.transport"):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.startswith("durable_async")]
            for name in names:
                known = name.removeprefix("durable_async").lstrip(".")
                if known:
                    yield _room(module), _room(known), f"{path.relative_to(PACKAGE)}:{node.lineno} {name}"


def test_imports_point_one_way():
    found = list(_imports())
    assert len(found) > 100
    climbed = [where for room, known, where in found if room != known and room in KNOWS and known not in KNOWS[room]]
    assert not climbed


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
        "backoff",
        "batch_config",
        "batch_result",
        "operation_config",
        "operations.batch",
        "operations.callback",
        "operations.child",
        "operations.compensation",
        "operations.condition",
        "operations.group",
        "operations.invoke",
        "operations.retried",
        "operations.timeout",
        "plugins",
        "retry",
        "wait_strategy",
    ],
)
def test_the_import_leaves_out_what_a_simple_step_does_not_use(unwanted):
    assert f"durable_async.{unwanted}" not in _loaded_by("import durable_async")


def test_names_that_are_imported_late_are_listed_and_found_like_the_others():
    code = "import durable_async as d; assert {*d.__all__} <= {*dir(d)}; [getattr(d, name) for name in d.__all__]"
    assert "durable_async.batch_config" in _loaded_by(code)


def test_the_public_names_are_those_that_are_documented_as_such():
    import durable_async

    assert sorted(durable_async.__all__) == durable_async.__all__
    assert all(getattr(durable_async, name).__doc__ for name in durable_async.__all__)
