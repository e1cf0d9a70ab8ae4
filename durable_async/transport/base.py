"""The two calls that a running invocation makes, and the one error with which they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate

MISCONFIGURED = "ClientMisconfigured"
"""The code of a :class:`~durable_async.errors.ServiceCallError` when no request could be made and a repetition
cannot help: region or credentials are missing, or a setting is wrong. The message says what to do."""


class DurableServiceClient(Protocol):
    """The durable service as an invocation sees it.

    Both calls raise :class:`~durable_async.errors.ServiceCallError`, and nothing else, when the service refuses or
    cannot be reached; what that means for the execution is decided in ``engine.failures``.
    """

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        """Record ``updates`` in their order, all or none, and learn what else changed.

        :param token: the last token given to this invocation; it is consumed when the call succeeds
        :param updates: may be empty: then the call only refreshes
        :param client_token: the same on every repetition of one call, so that a repetition after a lost answer gets
            the first answer again
        """
        ...

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        """One further page of the record. Consumes no token.

        :param marker: the ``NextMarker`` of the page before
        """
        ...
