"""The protocol of serializers, and the context that they get."""

from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable


class _NoType:
    def __repr__(self) -> str:
        return "NO_TYPE"

    def __reduce__(self) -> str:
        return "NO_TYPE"  # so that a copy is this object too


NO_TYPE: Final = _NoType()
"""Means that no type was requested. None could not mean that, because it is a type."""


class SerializerContext(NamedTuple):
    """The operation to which a value belongs, and the type as which it is read.

    :ivar operation_id: empty for the input and the result of the execution
    :ivar operation_name: None if the operation has no name
    :ivar type: the type to read the value as, such as ``list[Order]``; :data:`NO_TYPE` if none was requested
    """

    execution_arn: str
    operation_id: str
    operation_name: str | None
    type: Any = NO_TYPE

    @property
    def operation(self) -> str:
        """The name of the operation for an error message."""
        if self.operation_name or not self.operation_id:
            return self.operation_name or "the execution"
        return f"the unnamed operation {self.operation_id[:8]}"


@runtime_checkable
class Serializer(Protocol):
    """Turns values into the text that is recorded, and back. Both methods may be coroutine functions.

    The same value must give the same text. The workflow gets what ``deserialize`` returns, on the first run too. An
    exception in either method fails the operation without a retry.
    """

    def serialize(self, value: object, context: SerializerContext) -> str | Awaitable[str]: ...

    def deserialize(self, text: str, context: SerializerContext) -> Any | Awaitable[Any]: ...
