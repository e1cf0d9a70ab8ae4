"""The calls that commands make, on whatever speaks Lambda's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Final

from durable_async.cli.exits import Refused, Unreachable
from durable_async.cli.text import one_line
from durable_async.errors import ServiceCallError

if TYPE_CHECKING:
    from durable_async.transport._aiobotocore import Connection

CLOSED: Final[frozenset[str]] = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"})

_PAGE_ITEMS = 1000
_POLL_SECONDS = (0.1, 2.0)  # between two looks: at first, and once nothing has happened for long


class Client:
    """An open connection.

    Every call raises ``ServiceCallError`` as the connection does.

    :ivar place: what is called, in words, for messages
    """

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self.place = place

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer, as plain JSON with epoch seconds. Parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer = await self._connection.call(operation, **given)
        except ServiceCallError as error:
            if error.code == str(error.status):  # whoever answered does not speak the API: it names its errors
                raise Unreachable(
                    f"there is no durable API at {self.place} (status {error.status}): "
                    "is it mounted under a path, such as /durable?"
                ) from None
            raise
        answer.pop("ResponseMetadata", None)
        return answer

    async def arn(self, reference: str) -> str:
        """The ARN of an execution that is named by it, or as ``FUNCTION/NAME``.

        :raises Refused: there is no such execution, or more than one
        """
        if "/durable-execution/" in reference:
            return reference
        function, slash, name = reference.rpartition("/")
        if not slash:
            raise Refused(f"'{one_line(reference)}' names no execution: give its ARN, or FUNCTION/NAME")
        answer = await self.call(
            "ListDurableExecutionsByFunction", FunctionName=function, DurableExecutionName=name, MaxItems=2
        )
        match self._required(answer, "DurableExecutions"):
            case [found]:
                return str(found["DurableExecutionArn"])
            case []:
                advice = f"durable-async list {function} shows those that there are"
                raise Refused(one_line(f"the function {function} has no execution named {name}: {advice}"))
            case _:
                raise Refused(one_line(f"the function {function} has several executions named {name}: give the ARN"))

    async def execution(self, arn: str, *, data: bool = True) -> dict[str, Any]:
        answer = await self.call("GetDurableExecution", DurableExecutionArn=arn, IncludeExecutionData=data)
        self._required(answer, "Status")
        return answer

    async def functions(self) -> AsyncGenerator[str]:
        """The names of the durable functions."""
        async for item in self._items("ListFunctions", "Functions", None):
            if "DurableConfig" in item:
                yield str(item["FunctionName"])

    async def executions(self, function: str, limit: int | None, **filters: Any) -> AsyncGenerator[dict[str, Any]]:
        """Up to ``limit`` executions of ``function``; None: all."""
        async for item in self._items(
            "ListDurableExecutionsByFunction", "DurableExecutions", limit, FunctionName=function, **filters
        ):
            yield item

    async def events(
        self, arn: str, *, data: bool = True, reverse: bool = False, limit: int | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """The history as it is now, page by page."""
        async for item in self._items(
            "GetDurableExecutionHistory",
            "Events",
            limit,
            DurableExecutionArn=arn,
            IncludeExecutionData=data,
            ReverseOrder=reverse,
        ):
            yield item

    async def follow(self, arn: str, *, data: bool = True) -> AsyncGenerator[dict[str, Any]]:
        """The history, and what is added to it, until the execution is closed.

        The API has no other way to learn of an event than to ask again. Only the last page is asked for again.
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

    async def closed(self, arn: str) -> dict[str, Any]:
        """The execution, once it is closed."""
        pause = _POLL_SECONDS[0]
        while (await self.execution(arn, data=False))["Status"] not in CLOSED:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_SECONDS[1])
        return await self.execution(arn)

    async def _items(
        self, operation: str, member: str, limit: int | None, **parameters: Any
    ) -> AsyncGenerator[dict[str, Any]]:
        """:param limit: None: all"""
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
                raise Unreachable(f"{self.place} gives the same page again and again")
            marker = following

    def _required(self, answer: dict[str, Any], member: str) -> Any:
        """A proxy or a captive portal may answer 200 too."""
        if answer.get(member) is None:
            raise Unreachable(f"what answers at {self.place} is no durable service")
        return answer[member]


def redrives(event: Mapping[str, Any]) -> bool:
    """Whether ``event`` opens an execution again that was closed."""
    return bool(event["EventType"] == "ExecutionRedriven")


def closes(event: Mapping[str, Any]) -> bool:
    """Whether ``event`` is the last of its execution, unless that is redriven."""
    return event["EventType"] in {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionStopped"}
