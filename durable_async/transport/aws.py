"""The durable service over AWS's API: Lambda itself, or any endpoint that speaks its protocol.

aiobotocore does credentials, signing, retries and connections. What it would spend beyond that, on a call or on the
first client, is cut down in ``_model``, ``_loader`` and ``_aiobotocore``. They are imported at the first call.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import Thread
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from durable_async._wire.limits import STATE_PAGE_ITEMS
from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async.errors import ServiceCallError

if TYPE_CHECKING:
    from typing import Self

    from durable_async.transport._aiobotocore import Connection


def preload() -> None:
    """Do now what the first call would do otherwise: import aiobotocore and read its data files.

    Takes some tenths of a second and touches no network. May be called in any thread, and more than once.
    """
    with _garbage_collected_later():
        # aiohttp makes an SSL context when it is imported. That releases the GIL, so botocore is imported meanwhile.
        # Neither of the two imports the other, and aiobotocore's own import waits for aiohttp's to end.
        aiohttp = Thread(target=import_module, args=("aiohttp",))
        aiohttp.start()
        try:
            _aiobotocore().shared_session()
        finally:
            aiohttp.join()


@contextmanager
def _garbage_collected_later() -> Generator[None]:
    """Hold the garbage collector back: all that an import makes is kept, and searching it takes a tenth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class AwsClient:
    """A :class:`~durable_async.transport.base.DurableServiceClient` for AWS.

    It may be kept for the life of the process and used from any event loop: each loop gets connections of its own,
    opened at its first call and closed with the loop. ``async with AwsClient() as client`` closes them sooner.

    Members of the answers may be null. Timestamps are epoch seconds, or ``datetime`` with a ``session`` of your own.

    :param region: without one, ``AWS_REGION``, ``AWS_DEFAULT_REGION``, then the profile's
    :param endpoint_url: without one, ``AWS_ENDPOINT_URL_LAMBDA``, ``AWS_ENDPOINT_URL``, the profile's, then AWS's own
    :param session: an aiobotocore session, used as it is: its calls cost what aiobotocore's calls cost
    :param config: a botocore ``Config``; what it sets goes before the defaults of this client
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        session: Any = None,
        config: Any = None,
    ) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._session = session
        self._config = config
        self._connections: dict[asyncio.AbstractEventLoop, Connection] = {}

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        """See :meth:`~durable_async.transport.base.DurableServiceClient.checkpoint`."""
        operation = "CheckpointDurableExecution"
        answer = await (await self._connection()).call(
            operation,
            DurableExecutionArn=execution_arn,
            CheckpointToken=token,
            Updates=list(updates),
            ClientToken=client_token,
        )
        state: ExecutionState = _required(answer, "NewExecutionState", operation)
        return {"CheckpointToken": answer.get("CheckpointToken"), "NewExecutionState": state}

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        """See :meth:`~durable_async.transport.base.DurableServiceClient.get_state`."""
        operation = "GetDurableExecutionState"
        answer = await (await self._connection()).call(
            operation,
            DurableExecutionArn=execution_arn,
            CheckpointToken=token,
            Marker=marker,
            MaxItems=STATE_PAGE_ITEMS,
        )
        return {"Operations": _required(answer, "Operations", operation), "NextMarker": answer.get("NextMarker")}

    async def aclose(self) -> None:
        """Close the connections of the running loop. A later call opens new ones."""
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _connection(self) -> Connection:
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            # In a thread, so that a step's body may go on meanwhile.
            await asyncio.to_thread(preload if self._session is None else _aiobotocore)
            if loop not in self._connections:
                self._forget_closed_loops()
                self._connections[loop] = self._new_connection()
        return self._connections[loop]

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._connections if loop.is_closed()]:
            del self._connections[loop]

    def _new_connection(self) -> Connection:
        # botocore itself does not look at AWS_REGION, which is what Lambda and most containers set.
        region = self._region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        connection: Connection = _aiobotocore().Connection(region, self._endpoint_url, self._session, self._config)
        return connection


def _aiobotocore() -> ModuleType:
    from durable_async.transport import _aiobotocore

    return _aiobotocore


def _required(answer: dict[str, Any], member: str, operation: str) -> Any:
    """A proxy or a captive portal may answer 200 too; taking that for a checkpoint would lose what it carried."""
    if answer.get(member) is None:
        raise ServiceCallError(operation, f"the answer has no {member}: this is no durable service", status=200)
    return answer[member]
