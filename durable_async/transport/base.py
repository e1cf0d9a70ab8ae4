"""The protocol of a client: the two calls of a running invocation, which fail with one class of error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate

MISCONFIGURED = "ClientMisconfigured"
"""The code of a :class:`~durable_async.errors.ServiceCallError` if no request could be made and repeating the
call cannot help: the region or the credentials are missing, or a setting is wrong. The message says what to do."""

NO_SERVICE = "NoDurableService"
"""The code of a :class:`~durable_async.errors.ServiceCallError` if the answer did not come from a durable service, but
for example from a proxy or from another application at this address."""


class DurableServiceClient(Protocol):
    """The durable service as an invocation sees it.

    If the service refuses or cannot be reached, both calls raise :class:`~durable_async.errors.ServiceCallError` and
    nothing else. ``_engine/failures.py`` decides what that means for the execution.
    """

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        """Record ``updates`` in their order, all or none, and return what else has changed.

        :param token: the last token that this invocation got; used up when the call succeeds
        :param updates: if empty, the call only returns the changes
        :param client_token: the same for each repetition of a call, so that a repetition after a lost answer gets the
            first answer again
        """
        ...

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        """Return another page of the record. This does not use up the token.

        :param marker: the ``NextMarker`` of the previous page
        """
        ...
