"""The input and the answer of one invocation.

Source: protocol.md, "Envelope" and "Answer of the handler"; the shapes are those that Lambda sends and takes.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, Required, TypedDict, cast

from durable_async._wire.operations import ErrorObject, Operation
from durable_async._wire.text import JsonMembers

MICROSECONDS = "Microseconds"
"""Among the extensions: operations have ``StartMicroseconds`` and ``EndMicroseconds``."""


class Envelope(NamedTuple):
    """The input of one invocation.

    :ivar operations: the first part of the record
    :ivar next_marker: asks for the next part; None if this is all
    :ivar updated_ids: the ids of the operations that changed since the previous invocation; empty from older services
    :ivar extensions: what this service has beyond Lambda: members of updates that it knows, and ``MICROSECONDS``
    """

    execution_arn: str
    token: str
    operations: list[Operation]
    next_marker: str | None
    updated_ids: list[str]
    extensions: Collection[str] = ()


def read_envelope(event: object) -> Envelope | None:
    """Return the envelope in ``event``, or None if this is not the event of a durable invocation."""
    if not isinstance(event, Mapping):
        return None
    members = cast("JsonMembers", event)
    arn, token = members.get("DurableExecutionArn"), members.get("CheckpointToken")
    if not (isinstance(arn, str) and arn and isinstance(token, str) and token):
        return None
    state: JsonMembers = members.get("InitialExecutionState") or {}
    updated_ids: list[str] = members.get("UpdatedOperationIds") or []
    return Envelope(
        arn,
        token,
        state.get("Operations") or [],
        state.get("NextMarker") or None,
        updated_ids,
        members.get("Extensions") or (),
    )


class Output(TypedDict, total=False):
    """The answer of one invocation. An empty ``Result`` means that the result was checkpointed."""

    Status: Required[Literal["SUCCEEDED", "FAILED", "PENDING"]]
    Result: str
    Error: ErrorObject
