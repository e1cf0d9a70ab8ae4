"""How a store keeps a field of an execution, an operation or an event: the metadata of the field.

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
"""No column: it is known from other fields, or is of use to the running process only."""

PAYLOAD: Mapping[str, object] = {"column": Column.PAYLOAD}
"""A text or an error object, which may be long: two columns, of which the second ends in ``_digest``."""

JSON: Mapping[str, object] = {"column": Column.JSON}
"""An object of a class, or a mapping of texts, as JSON in one column. The long payloads of an object are kept as all
others are."""

DETAILS: Mapping[str, object] = {"column": Column.DETAILS}
"""The details of an event: JSON without its payload if that is long, and the name and the digest of that payload."""
