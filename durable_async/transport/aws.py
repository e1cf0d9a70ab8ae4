"""The durable service over AWS's API: Lambda itself, or any endpoint with the same protocol.

aiobotocore does credentials, signing, retries and connections. ``_model``, ``_loader`` and ``_aiobotocore`` reduce what
a call and the first client cost beyond that. They are imported at the first call.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import Thread
from types import ModuleType
from typing import Any

from durable_async._client_per_loop import ClientPerLoop, OwnsConnections
from durable_async._wire.limits import STATE_PAGE_ITEMS
from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async._wire.text import JsonObject
from durable_async.errors import ServiceCallError


def preload() -> None:
    """Import aiobotocore, read its data files and the certificates for TLS now, instead of at the first call.

    This takes some tenths of a second and does not use the network. It may be called in any thread, and repeatedly.
    """
    _preload(None)


def _preload(endpoint_url: str | None) -> None:
    endpoint = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or os.environ.get("AWS_ENDPOINT_URL")
    with _garbage_collected_later():
        # aiohttp makes an SSL context when it is imported. That releases the GIL, so botocore is imported meanwhile.
        # Neither of the two imports the other, and aiobotocore's own import waits for aiohttp's to end.
        aiohttp = Thread(target=import_module, args=("aiohttp",))
        aiohttp.start()
        try:
            aws = _aiobotocore()
        finally:
            aiohttp.join()
        aws.make_ready(tls=endpoint is None or not endpoint.startswith("http://"))


@contextmanager
def _garbage_collected_later() -> Generator[None]:
    """Disable the garbage collector during an import, which makes no garbage; collecting takes a tenth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class AwsClient(OwnsConnections):
    """A :class:`~durable_async.transport.base.DurableServiceClient` for AWS.

    One object serves the whole process and any event loop: each loop gets its own connections, opened at its first
    call and closed with the loop. ``async with AwsClient() as client`` closes them earlier.

    Members of the answers may be null. Timestamps are epoch seconds, or ``datetime`` with a ``session`` of your own.

    :param region: None: ``AWS_REGION``, ``AWS_DEFAULT_REGION``, then the profile's
    :param endpoint_url: None: ``AWS_ENDPOINT_URL_LAMBDA``, ``AWS_ENDPOINT_URL``, the profile's, then AWS's own
    :param session: an aiobotocore session of your own, without the savings of this package
    :param config: a botocore ``Config``; it overrides the defaults of this client
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        session: object = None,
        config: object = None,
    ) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._session = session
        self._config = config
        self._clients = ClientPerLoop(self._open_client)
        self._aiobotocore: ModuleType | None = None

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        """Send updates; see :meth:`~durable_async.transport.base.DurableServiceClient.checkpoint`."""
        operation = "CheckpointDurableExecution"
        parameters: JsonObject = {
            "DurableExecutionArn": execution_arn,
            "CheckpointToken": token,
            "Updates": list(updates),
            "ClientToken": client_token,
        }
        aws = self._aiobotocore or await self._load()
        answer: JsonObject = await aws.call(self._clients, operation, parameters)
        state: ExecutionState = _required(answer, "NewExecutionState", operation)
        return {"CheckpointToken": answer.get("CheckpointToken"), "NewExecutionState": state}

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        """Read a page of the record; see :meth:`~durable_async.transport.base.DurableServiceClient.get_state`."""
        operation = "GetDurableExecutionState"
        parameters: JsonObject = {
            "DurableExecutionArn": execution_arn,
            "CheckpointToken": token,
            "Marker": marker,
            "MaxItems": STATE_PAGE_ITEMS,
        }
        aws = self._aiobotocore or await self._load()
        answer: JsonObject = await aws.call(self._clients, operation, parameters)
        return {"Operations": _required(answer, "Operations", operation), "NextMarker": answer.get("NextMarker")}

    async def _load(self) -> ModuleType:
        """Import aiobotocore in a thread, so that the bodies of steps can run meanwhile."""
        if self._session is None:
            await asyncio.to_thread(_preload, self._endpoint_url)
        else:
            await asyncio.to_thread(_aiobotocore)
        self._aiobotocore = _aiobotocore()
        return self._aiobotocore

    def _open_client(self) -> AsyncGenerator[object, None]:
        # botocore does not read AWS_REGION, which Lambda and most containers set.
        region = self._region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        client: AsyncGenerator[object, None] = _aiobotocore().lambda_client(
            region, self._endpoint_url, self._session, self._config
        )
        return client


def _aiobotocore() -> ModuleType:
    from durable_async.transport import _aiobotocore

    return _aiobotocore


def _required(answer: JsonObject, member: str, operation: str) -> Any:
    """Return ``answer[member]``. Without it the answer came from something else, such as a proxy, with status 200.

    :raises ServiceCallError: the answer has no such member
    """
    if answer.get(member) is None:
        raise ServiceCallError(operation, f"the answer has no {member}: this is not a durable service", status=200)
    return answer[member]
