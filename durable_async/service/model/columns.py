"""Metadata of the fields of executions, operations and events: how a store keeps each field.

A field without a mark has one column of its name: a text, an integer, a bool or an enum. A field that holds another
class has the columns of that class, each with the name of the field before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class Column(Enum):
    DERIVED = auto()
    PAYLOAD = auto()
    JSON = auto()
    DETAILS = auto()


DERIVED: Mapping[str, object] = {"column": Column.DERIVED}
"""No column: the value is derived from other fields, or is of use to the running process only."""

PAYLOAD: Mapping[str, object] = {"column": Column.PAYLOAD}
"""A text or an error object, which may be long: two columns. The name of the second one ends in ``_digest``."""

JSON: Mapping[str, object] = {"column": Column.JSON}
"""An object of a class, or a mapping of texts, as JSON in one column. Long payloads of the object are kept like all
long payloads.
"""

DETAILS: Mapping[str, object] = {"column": Column.DETAILS}
"""The details of an event: JSON without its payload if that is long, and the name and the digest of that payload."""
