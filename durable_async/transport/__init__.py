"""How an invocation reaches the durable service: :class:`DurableServiceClient`, and :class:`AwsClient` over HTTP."""

from typing import TYPE_CHECKING

from durable_async._lazy import names_from
from durable_async._wire.operations import CheckpointResult, ErrorObject, ExecutionState, OperationUpdate
from durable_async.transport.base import MISCONFIGURED, DurableServiceClient

if TYPE_CHECKING:
    from durable_async.transport.aws import AwsClient, preload

__all__ = [
    "MISCONFIGURED",
    "AwsClient",
    "CheckpointResult",
    "DurableServiceClient",
    "ErrorObject",
    "ExecutionState",
    "OperationUpdate",
    "preload",
]

_LATER = {"AwsClient": "aws", "preload": "aws"}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
