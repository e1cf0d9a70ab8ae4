"""What a serializer is, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum
from typing import Any, Final, Protocol, runtime_checkable

import attrs


class _NoType(Enum):
    NO_TYPE = "no type"

    def __repr__(self) -> str:
        return self.name


NO_TYPE: Final = _NoType.NO_TYPE
"""Stands where no type was asked for: None is a type that can be."""


@attrs.frozen
class SerializerContext:
    """Whose value it is.

    :ivar operation_id: empty for the execution's own input and result
    :ivar operation_name: for people
    :ivar type: what the value is to be read as, such as ``list[Order]``; :data:`NO_TYPE` if nobody said
    """

    execution_arn: str
    operation_id: str
    operation_name: str | None
    type: Any = NO_TYPE

    @property
    def operation(self) -> str:
        """Names the operation in an error."""
        return self.operation_name or self.operation_id or "the execution"


@runtime_checkable
class Serializer(Protocol):
    """Turns values into the text that is recorded, and back. Both methods may be coroutine functions.

    The same value must give the same text. What ``deserialize`` returns is what the workflow gets, on the first run
    too. An exception of either fails the operation, without a retry.
    """

    def serialize(self, value: Any, context: SerializerContext) -> str | Awaitable[str]: ...

    def deserialize(self, text: str, context: SerializerContext) -> Any | Awaitable[Any]: ...
