"""What is public can be imported from a public place, and so can each type that its signatures name."""

import ast
import inspect
import typing
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from types import FunctionType
from uuid import UUID

import pytest

from durable_async import DurableContext, DurableHandler
from durable_async.transport import DurableServiceClient

PUBLIC = (
    "durable_async",
    "durable_async.client",
    "durable_async.embedded",
    "durable_async.plugins",
    "durable_async.replay",
    "durable_async.serializers",
    "durable_async.service",
    "durable_async.testing",
    "durable_async.transport",
)

EXPORTED = {name: {each: getattr(import_module(name), each) for each in import_module(name).__all__} for name in PUBLIC}
CLASSES = {value for names in EXPORTED.values() for value in names.values() if inspect.isclass(value)}

# Classes whose objects the package makes: nobody else calls their constructors.
MADE_HERE = {
    "Callback",
    "CallbackToCome",
    "Closed",
    "Deadline",
    "DurableContext",
    "DurableHandler",
    "ExecutionHandle",
    "FinishedExecution",
    "RecordedExecution",
    "TestCallback",
    "TestExecution",
}
# Parameters and methods with which one part of the package calls another.
# A store's methods belong here too: the service calls them, with the machine's own types.
INTERNAL_OF = {"ReplayableService", "ServiceObserver", "SqliteStore", "Store"}
INTERNAL = {
    "Closed.of",
    "DurableHandler.answer",
    "DurableHandler.invocation",
    "DurableHandler.outcome",
    "DurableHandler.run",
    "ExecutionDescription.of",
    "ExecutionSummary.of",
    "in_process_function",
}

PACKAGE = Path(inspect.getfile(import_module("durable_async"))).parent


def functions_of(value: object) -> Iterator[FunctionType]:
    """A function itself, or the public methods, properties and constructor that a class has from this package."""
    if isinstance(value, FunctionType) and value.__qualname__ not in INTERNAL:
        yield value
    if not inspect.isclass(value):
        return
    for base in value.__mro__:
        if not base.__module__.startswith("durable_async"):
            continue
        for name, member in vars(base).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            is_method = not name.startswith("_") and base.__name__ not in INTERNAL_OF
            is_public = is_method or (name == "__init__" and base.__name__ not in MADE_HERE)
            if isinstance(function, FunctionType) and is_public and function.__qualname__ not in INTERNAL:
                yield function


def types_in(annotation: object) -> Iterator[type]:
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        yield annotation
    origin = typing.get_origin(annotation)
    if inspect.isclass(origin):
        yield origin
    if isinstance(annotation, typing.TypeVar):
        yield from types_in(annotation.__bound__)
    for argument in typing.get_args(annotation) if origin is not typing.Literal else ():
        for each in argument if isinstance(argument, list) else [argument]:
            yield from types_in(each)


def public_fields(cls: type) -> dict[str, object]:
    hints = {}
    for base in cls.__mro__:
        if base.__module__.startswith("durable_async"):
            public = {k: v for k, v in vars(base).get("__annotations__", {}).items() if not k.startswith("_")}
            hints |= typing.get_type_hints(
                type("Fields", (), {"__annotations__": public, "__module__": base.__module__})
            )
    return hints


NAMES = [f"{module}.{name}" for module, names in EXPORTED.items() for name in names]


def exported(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return EXPORTED[module][attribute]


@pytest.mark.parametrize("name", NAMES)
def test_each_type_that_a_public_signature_names_can_be_imported_from_a_public_place(name):
    private = defaultdict(set)
    value = exported(name)
    hints = {function.__qualname__: typing.get_type_hints(function) for function in functions_of(value)}
    if inspect.isclass(value) and not typing.is_typeddict(value):  # whose members are the wire's
        hints["fields"] = public_fields(value)
    for function, annotations in hints.items():
        for annotation in annotations.values():
            private[function] |= {
                f"{each.__module__}.{each.__qualname__}"
                for each in types_in(annotation)
                if each.__module__.startswith("durable_async") and each not in CLASSES
            }
    assert {function: types for function, types in private.items() if types} == {}


def members_of(value: object) -> Iterator[object]:
    """A function or class itself, and the methods of the class that are public or Python's own, wherever defined."""
    if isinstance(value, FunctionType | type):
        yield value
    for base in getattr(value, "__mro__", ()):
        for name, member in vars(base).items() if base.__module__.startswith("durable_async") else ():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and (not name.startswith("_") or name.endswith("__")):
                yield function


@pytest.mark.parametrize("name", NAMES)
def test_the_annotations_of_what_is_public_can_be_resolved(name):
    for member in members_of(exported(name)):
        assert isinstance(typing.get_type_hints(member, include_extras=True), dict)


def test_annotations_name_the_types_that_no_import_loads():
    hints = {func: typing.get_type_hints(func)["return"] for func in (DurableContext.uuid, DurableContext.random)}
    assert hints == {DurableContext.uuid: UUID, DurableContext.random: Random}
    assert typing.get_type_hints(DurableHandler.run)["client"] == DurableServiceClient | None


def test_a_public_class_name_is_defined_once():
    names = {cls.__name__ for cls in CLASSES}
    defined = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name in names:
                defined[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_lists_what_it_exports_and_has_all_of_it(name):
    module = import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(each.isidentifier() and not each.startswith("_") for each in module.__all__)
    later = getattr(module, "_LATER", {})
    assert set(later) <= set(module.__all__)
