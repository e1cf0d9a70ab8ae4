"""The calls of the commands to a service with Lambda's API."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from durable_async._client_per_loop import ClientPerLoop
from durable_async._wire.operations import CLOSED_EXECUTION
from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.cli.exits import Refused, Unreachable
from durable_async.cli.text import one_line
from durable_async.errors import ServiceCallError

_PAGE_ITEMS = 1000
_POLL_SECONDS = (0.1, 2.0)  # between two polls: at first, and after a long time without events


class Client:
    """Calls a service. Every method raises ``ServiceCallError`` if the call fails.

    :ivar place: describes the service, for messages
    """

    def __init__(self, clients: ClientPerLoop, place: str) -> None:
        self._clients = clients
        self.place = place

    async def call(self, operation: str, **parameters: Any) -> JsonObject:
        """Return the answer as plain JSON with times in epoch seconds. Parameters that are None are not sent."""
        from durable_async.transport._aiobotocore import call  # not on import: --help needs no client

        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer = await call(self._clients, operation, given)
        except ServiceCallError as error:
            if error.code == str(error.status):  # Lambda's API names its errors, so this is something else
                raise Unreachable(
                    f"there is no durable API at {self.place} (status {error.status}): "
                    "is it mounted under a path, such as /durable?"
                ) from None
            raise
        answer.pop("ResponseMetadata", None)
        return answer

    async def arn(self, reference: str) -> str:
        """Return the ARN of an execution that is given by its ARN or as ``FUNCTION/NAME``.

        :raises Refused: there is no such execution, or more than one
        """
        if "/durable-execution/" in reference:
            return reference
        function, slash, name = reference.rpartition("/")
        if not slash:
            raise Refused(f"'{one_line(reference)}' is not an execution: give its ARN, or FUNCTION/NAME")
        answer = await self.call(
            "ListDurableExecutionsByFunction", FunctionName=function, DurableExecutionName=name, MaxItems=2
        )
        match self._required(answer, "DurableExecutions"):
            case [found]:
                return str(found["DurableExecutionArn"])
            case []:
                advice = f"'durable-async list {function}' shows its executions"
                raise Refused(one_line(f"the function {function} has no execution named {name}: {advice}"))
            case _:
                raise Refused(one_line(f"the function {function} has several executions named {name}: give the ARN"))

    async def execution(self, arn: str, *, data: bool = True) -> JsonObject:
        answer = await self.call("GetDurableExecution", DurableExecutionArn=arn, IncludeExecutionData=data)
        self._required(answer, "Status")
        return answer

    async def functions(self) -> AsyncGenerator[str]:
        """Yield the names of the durable functions."""
        async for item in self._items("ListFunctions", "Functions", None):
            if "DurableConfig" in item:
                yield str(item["FunctionName"])

    async def executions(self, function: str | None, limit: int | None, **filters: Any) -> AsyncGenerator[JsonObject]:
        """Yield up to ``limit`` executions.

        :param function: None: of all functions, which AWS does not offer
        :param limit: None: all of them
        """
        operation = "ListDurableExecutions" if function is None else "ListDurableExecutionsByFunction"
        async for item in self._items(operation, "DurableExecutions", limit, FunctionName=function, **filters):
            yield item

    async def of_all_functions(self, limit: int | None, **filters: Any) -> AsyncGenerator[JsonObject]:
        """Yield up to ``limit`` executions of all functions by asking for those of each function, as AWS needs it."""
        found = [
            item async for function in self.functions() async for item in self.executions(function, limit, **filters)
        ]
        found.sort(key=lambda item: float(item["StartTimestamp"]), reverse=not filters.get("ReverseOrder"))
        for item in found[:limit]:
            yield item

    async def counts(self, function: str | None, **filters: Any) -> dict[str, Counter[str]]:
        """Return how many executions each function has in each status. AWS does not offer it."""
        answer = await self.call("CountDurableExecutions", FunctionName=function, **filters)
        return {
            str(counted["FunctionName"]): Counter(counted["Executions"])
            for counted in self._required(answer, "Functions")
        }

    async def events(
        self, arn: str, *, data: bool = True, reverse: bool = False, limit: int | None = None
    ) -> AsyncGenerator[JsonObject]:
        """Yield the events of the history as it is now."""
        async for item in self._items(
            "GetDurableExecutionHistory",
            "Events",
            limit,
            DurableExecutionArn=arn,
            IncludeExecutionData=data,
            ReverseOrder=reverse,
        ):
            yield item

    async def follow(self, arn: str, *, data: bool = True) -> AsyncGenerator[JsonObject]:
        """Yield the events of the history, and new ones, until the execution is closed.

        The API offers only polling. Only the last page is requested again.
        """
        marker, seen, pause = None, 0, _POLL_SECONDS[0]
        while True:
            answer = await self.call(
                "GetDurableExecutionHistory",
                DurableExecutionArn=arn,
                IncludeExecutionData=data,
                MaxItems=_PAGE_ITEMS,
                Marker=marker,
            )
            news = [event for event in self._required(answer, "Events") if event["EventId"] > seen]
            for place, event in enumerate(news):
                yield event
                if closes(event) and not any(redrives(later) for later in news[place + 1 :]):
                    return
                seen = event["EventId"]
            if following := answer.get("NextMarker"):
                marker = following
                continue
            pause = _POLL_SECONDS[0] if news else min(pause * 1.5, _POLL_SECONDS[1])
            await asyncio.sleep(pause)

    async def closed(self, arn: str) -> JsonObject:
        """Return the execution when it is closed."""
        pause = _POLL_SECONDS[0]
        while (await self.execution(arn, data=False))["Status"] not in CLOSED_EXECUTION:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_SECONDS[1])
        return await self.execution(arn)

    async def _items(
        self, operation: str, member: str, limit: int | None, **parameters: Any
    ) -> AsyncGenerator[JsonObject]:
        """Yield the items of a paged answer.

        :param limit: None: all items
        """
        left, marker = limit, None
        while left is None or left > 0:
            count = _PAGE_ITEMS if left is None else min(left, _PAGE_ITEMS)
            answer = await self.call(operation, MaxItems=count, Marker=marker, **parameters)
            items = self._required(answer, member)
            for item in items[:left]:
                yield item
            left = None if left is None else left - len(items)
            following = answer.get("NextMarker")
            if not following:
                return
            if following == marker:
                raise Unreachable(f"{self.place} keeps returning the same page")
            marker = following

    def _required(self, answer: JsonObject, member: str) -> Any:
        """Return ``answer[member]``. Without it, the answer came from something else, such as a proxy."""
        if answer.get(member) is None:
            raise Unreachable(f"what answers at {self.place} is not a durable service")
        return answer[member]


def redrives(event: JsonMembers) -> bool:
    """Return whether ``event`` opens an execution again that was closed."""
    return bool(event["EventType"] == "ExecutionRedriven")


def closes(event: JsonMembers) -> bool:
    """Return whether ``event`` is the last one of its execution, unless the execution is redriven."""
    return event["EventType"] in {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionStopped"}
