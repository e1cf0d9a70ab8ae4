"""The reference pages name everything that is public."""

import inspect
import re

import durable_async
from durable_async import errors

from .pages import DOCS, prose


def headings_and_rows(name: str) -> str:
    """The headings and the tables' first cells of a reference page: where a thing is described, not just mentioned."""
    lines = prose(DOCS / "reference" / name).splitlines()
    return "\n".join(line.split(" | ")[0] for line in lines if line.startswith(("#", "| ")))


def test_every_public_name_is_in_the_api_reference():
    described = set(re.findall(r"\w+", headings_and_rows("api.md")))
    assert set(durable_async.__all__) - described == set()


def test_every_method_of_the_context_is_in_the_api_reference():
    described = set(re.findall(r"ctx\.(\w+)", headings_and_rows("api.md")))
    public = {name for name in dir(durable_async.DurableContext) if not name.startswith("_")}
    assert public - described == set()


def test_every_error_is_in_the_catalogue():
    described = set(re.findall(r"\w+", headings_and_rows("errors.md")))
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, BaseException)
        and value.__module__ == errors.__name__
        and not name.startswith("_")
    }
    assert classes and classes - described == set()
