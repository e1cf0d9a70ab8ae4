"""What is between a worker and the service: late, lost, repeated and refused calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async.errors import ServiceCallError
from durable_async.service import LambdaApi
from durable_async.service.model.errors import ApiError

if TYPE_CHECKING:
    from .processes import Process, Server

T = TypeVar("T")

_SECONDS = 1.0  # until a call without an answer is repeated
_PAGE = 1000


class Unreachable(Exception):
    """The service died before it answered."""


class Client:
    """A worker's way to the service. Calls without an answer are repeated with the same client token, as AWS's clients
    do."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        sent = json.dumps(updates)

        async def call(api: LambdaApi) -> CheckpointResult:
            answer = await api.checkpoint(execution_arn, token, json.loads(sent), client_token)
            self._process.wrote(answer["NewExecutionState"]["Operations"])
            return answer

        names = ", ".join(f"{each['Action']} {each.get('Name', each['Type'])}" for each in updates)
        answer = await self._call(call, f"checkpoint {names}")
        self._process.received(answer["NewExecutionState"]["Operations"])
        return answer

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        async def call(api: LambdaApi) -> ExecutionState:
            page = await api.get_state(execution_arn, token, marker, _PAGE)
            self._process.said(page["Operations"])
            return page

        page = await self._call(call, "get state")
        self._process.received(page["Operations"])
        return page

    async def _call(self, call: Callable[[LambdaApi], Awaitable[T]], what: str) -> T:
        process, chaos = self._process, self._process.world.chaos
        while True:
            await process.alive()
            if chaos.strikes("a call is refused"):
                raise ServiceCallError("a call", "Rate exceeded", "TooManyRequestsException", 429)
            await chaos.travel()
            server = process.server()
            if server is None or chaos.strikes("a call is lost"):
                await asyncio.sleep(_SECONDS)
                continue
            try:
                answer = await _answer(server, call)
            except Unreachable:
                await asyncio.sleep(_SECONDS)
                continue
            except ApiError as refused:
                chaos.note(f"{process}: {what}: {refused.code}")
                raise ServiceCallError("a call", refused.message, refused.code, refused.status) from refused
            chaos.note(f"{process}: {what}")
            await chaos.travel()
            if process.may_lose_replies and chaos.strikes("a reply is lost"):
                continue
            await process.alive()
            return answer


async def _answer(server: Server, call: Callable[[LambdaApi], Awaitable[T]]) -> T:
    return json_copy(await server.call(call))


def json_copy(value: T) -> T:
    """Return what arrives at the other end of a wire."""
    copied: Any = json.loads(json.dumps(value))
    return copied
