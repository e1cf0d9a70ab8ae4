"""The executions of a service that speaks Lambda's API, in the form that ``replay_open`` asks for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import contextmanager

import attrs

from durable_async._wire.text import JsonMembers
from durable_async.cli.client import Client
from durable_async.cli.connect import Target
from durable_async.errors import ServiceCallError
from durable_async.service.model.errors import ResourceNotFoundError

_NOT_ON_AWS = {"PAUSING", "PAUSED"}


@attrs.frozen
class _Summary:
    arn: str


@attrs.frozen
class _Execution:
    client: Client
    arn: str

    async def history(self) -> Sequence[JsonMembers]:
        with _not_found():
            return [event async for event in self.client.events(self.arn)]


@contextmanager
def _not_found() -> Generator[None]:
    try:
        yield
    except ServiceCallError as error:
        if error.code == ResourceNotFoundError.code:
            raise ResourceNotFoundError(error.message) from None
        raise


@attrs.frozen
class _Executions:
    client: Client
    without: set[str]

    async def executions(self, function: str, *, statuses: Iterable[str]) -> AsyncGenerator[_Summary]:
        wanted = [status for status in statuses if status not in self.without]
        with _not_found():
            async for item in self.client.executions(function, None, Statuses=wanted):
                yield _Summary(str(item["DurableExecutionArn"]))

    def execution(self, arn: str) -> _Execution:
        return _Execution(self.client, arn)


def open_executions(client: Client, target: Target) -> _Executions:
    """Return the executions of the service that ``client`` is connected to. AWS knows no paused ones."""
    return _Executions(client, _NOT_ON_AWS if target.on_aws else set())
