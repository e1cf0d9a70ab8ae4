"""The calls to a service with Lambda's API, as plain JSON: pages, and waiting for what is not there yet.

Waiting is long polling where the service offers it: a request says with ``WaitSeconds`` how long the answer may be held
back for news. A service that does not know this parameter answers at once, and is asked again at growing intervals.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any, Final

import attrs

from durable_async._client_per_loop import ClientPerLoop
from durable_async._wire.operations import CLOSED_EXECUTION
from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.errors import ServiceCallError
from durable_async.service.model.history import CLOSING, EventType
from durable_async.transport.base import NO_SERVICE

CLOSED: Final[frozenset[str]] = frozenset(CLOSED_EXECUTION)

_PAGE_ITEMS = 1000
_MAX_WAIT = 20  # seconds, the maximum that a service of this package allows


@attrs.frozen
class Polling:
    """How a client waits for news of a service, in seconds.

    :ivar wait: how long a service of this package may hold back an answer until there is news, 1 to 20. Keep it below
        the limit of a proxy in between
    :ivar first_pause: how long to wait before a service is asked again that does not hold back its answers
    :ivar longest_pause: the maximum of that pause, which grows as long as there is no news
    """

    wait: int = attrs.field(default=_MAX_WAIT, validator=(attrs.validators.ge(1), attrs.validators.le(_MAX_WAIT)))
    first_pause: float = attrs.field(default=0.1, validator=attrs.validators.gt(0))
    longest_pause: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))


class Calls(ABC):
    """Calls a service. Every method raises ``ServiceCallError`` if a call fails.

    :ivar place: names the service in messages
    :ivar on_aws: True: the service is AWS Lambda, which lacks what only the service of this package has
    """

    def __init__(self, place: str, *, on_aws: bool = False, polling: Polling = Polling()) -> None:
        self.place = place
        self.on_aws = on_aws
        self._polling = polling
        self._wait_seconds = None if on_aws else polling.wait

    @abstractmethod
    async def _send(self, operation: str, parameters: JsonObject) -> JsonObject:
        """Return the answer as botocore reads it.

        :raises ServiceCallError: the service refused the call, or gave no answer
        """

    async def call(self, operation: str, **parameters: object) -> JsonObject:
        """Return the answer as plain JSON with times in epoch seconds. Parameters that are None are not sent."""
        answer = await self._send(operation, {name: value for name, value in parameters.items() if value is not None})
        answer.pop("ResponseMetadata", None)
        return answer

    async def execution(self, arn: str, *, data: bool = True) -> JsonObject:
        """Return the execution as it is now.

        :param data: False: without its input, its result and its error
        """
        answer = await self.call("GetDurableExecution", DurableExecutionArn=arn, IncludeExecutionData=data)
        self.required(answer, "Status", "GetDurableExecution")
        return answer

    async def closed(self, arn: str) -> JsonObject:
        """Return the execution when it is closed."""
        pauses, time = _Pauses(self._polling), asyncio.get_running_loop().time
        while True:
            asked_at = time()
            answer = await self.call(
                "GetDurableExecution",
                DurableExecutionArn=arn,
                IncludeExecutionData=False,
                WaitSeconds=self._wait_seconds,
            )
            if self.required(answer, "Status", "GetDurableExecution") in CLOSED:
                execution = await self.execution(arn)
                if execution["Status"] in CLOSED:  # it was not redriven meanwhile
                    return execution
            elif time() - asked_at < self._polling.wait - 1:  # the service did not wait
                await pauses.next()

    async def items(
        self, operation: str, member: str, limit: int | None = None, **parameters: object
    ) -> AsyncGenerator[JsonObject]:
        """Yield the items of a list, page by page.

        :param member: of the answer, which has the items
        :param limit: how many; None: all
        """
        left, marker = limit, None
        while left is None or left > 0:
            count = _PAGE_ITEMS if left is None else min(left, _PAGE_ITEMS)
            answer = await self.call(operation, MaxItems=count, Marker=marker, **parameters)
            items = self.required(answer, member, operation)
            for item in items[:left]:
                yield item
            left = None if left is None else left - len(items)
            following = answer.get("NextMarker")
            if not following:
                return
            if following == marker:
                raise ServiceCallError(operation, f"{self.place} keeps returning the same page", NO_SERVICE, 200)
            marker = following

    async def follow(self, arn: str, *, data: bool = True, after: int = 0) -> AsyncGenerator[JsonObject]:
        """Yield the events of the history, and new ones, until the execution is closed.

        While the execution is open, a service that waits gives the last page a marker too: of the events to come. From
        another service the last page is requested again.

        :param after: the id of the last event that is not wanted
        """
        pauses, held = _Pauses(self._polling), list[JsonObject]()
        asked = {"DurableExecutionArn": arn, "IncludeExecutionData": data, "MaxItems": _PAGE_ITEMS}
        marker, seen, closed = None, 0, False
        while True:
            answer = await self.call(
                "GetDurableExecutionHistory", **asked, Marker=marker, WaitSeconds=self._wait_seconds
            )
            events = self.required(answer, "Events", "GetDurableExecutionHistory")
            for event in [each for each in events if each["EventId"] > seen]:
                pauses.reset()
                seen = event["EventId"]
                held.append(event)
                if closes(event):
                    closed = True
                elif redrives(event):
                    closed = False
                elif closed:
                    continue  # the end of an invocation that still ran; shown if the execution goes on
                for each in held:
                    if each["EventId"] > after:
                        yield each
                held.clear()
            marker, following = answer.get("NextMarker") or marker, answer.get("NextMarker")
            if closed and not following:
                return
            if not following:
                await pauses.next()

    def required(self, answer: JsonMembers, member: str, operation: str) -> Any:
        """Return ``answer[member]``.

        :raises ServiceCallError: there is no such member, so the answer came from something else, such as a proxy
        """
        if answer.get(member) is None:
            what = f"what answers at {self.place} is not a durable service"
            raise ServiceCallError(operation, what, NO_SERVICE, 200)
        return answer[member]


class HttpCalls(Calls):
    """Calls a service through aiobotocore."""

    def __init__(
        self,
        clients: ClientPerLoop,
        place: str,
        *,
        on_aws: bool = False,
        polling: Polling = Polling(),
    ) -> None:
        super().__init__(place, on_aws=on_aws, polling=polling)
        self._clients = clients

    async def aclose(self) -> None:
        """Close the connections of the running loop. A later call opens new ones."""
        await self._clients.aclose()

    async def _send(self, operation: str, parameters: JsonObject) -> JsonObject:
        from durable_async.transport._aiobotocore import call  # takes a third of a second

        try:
            return await call(self._clients, operation, parameters)
        except ServiceCallError as error:
            if error.code != str(error.status):
                raise
            what = f"there is no durable API at {self.place} (status {error.status})"  # which names its errors
            advice = "is it mounted under a path, such as /durable?"
            raise ServiceCallError(operation, f"{what}: {advice}", NO_SERVICE, error.status) from None


class _Pauses:
    """The times between two polls. They grow until :meth:`reset`."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self.reset()

    def reset(self) -> None:
        self._seconds = self._polling.first_pause

    async def next(self) -> None:
        await asyncio.sleep(self._seconds)
        self._seconds = min(self._seconds * 1.5, self._polling.longest_pause)


def closes(event: JsonMembers) -> bool:
    """Return whether ``event`` is the end of its execution, unless the execution is redriven."""
    return event["EventType"] in CLOSING


def redrives(event: JsonMembers) -> bool:
    """Return whether ``event`` opens an execution again that was closed."""
    return bool(event["EventType"] == EventType.EXECUTION_REDRIVEN)
