"""The calls of the commands to a service with Lambda's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator

import attrs

from durable_async._wire.text import JsonObject
from durable_async.cli.exits import Refused
from durable_async.cli.text import one_line
from durable_async.client.api import DurableApi
from durable_async.client.calls import HttpCalls
from durable_async.client.executions import Executions
from durable_async.client.remote import RemoteApi
from durable_async.handler import AnyHandler


class Client(HttpCalls):
    """Finds what a command line names. Every method raises ``ServiceCallError`` if a call fails."""

    async def arn(self, reference: str) -> str:
        """Return the ARN of an execution that is given by its ARN or as ``FUNCTION/NAME``.

        :raises Refused: there is no such execution, or more than one
        """
        if "/durable-execution/" in reference:
            return reference
        function, slash, name = reference.rpartition("/")
        if not slash:
            raise Refused(f"'{one_line(reference)}' is not an execution: give its ARN, or FUNCTION/NAME")
        match [item async for item in self.executions(function, 2, DurableExecutionName=name)]:
            case [found]:
                return str(found["DurableExecutionArn"])
            case []:
                advice = f"'durable-async list {function}' shows its executions"
                raise Refused(one_line(f"the function {function} has no execution named {name}: {advice}"))
            case _:
                raise Refused(one_line(f"the function {function} has several executions named {name}: give the ARN"))

    async def functions(self) -> AsyncGenerator[str]:
        """Yield the names of the durable functions."""
        async for item in self.items("ListFunctions", "Functions"):
            if "DurableConfig" in item:
                yield str(item["FunctionName"])

    def executions(self, function: str | None, limit: int | None, **filters: object) -> AsyncGenerator[JsonObject]:
        """Yield up to ``limit`` executions.

        :param function: None: of all functions, which AWS does not offer
        :param limit: None: all of them
        """
        operation = "ListDurableExecutions" if function is None else "ListDurableExecutionsByFunction"
        return self.items(operation, "DurableExecutions", limit, FunctionName=function, **filters)

    async def of_all_functions(self, limit: int | None, **filters: object) -> AsyncGenerator[JsonObject]:
        """Yield up to ``limit`` executions of all functions by asking for those of each function, as AWS needs it."""
        found = [
            item async for function in self.functions() async for item in self.executions(function, limit, **filters)
        ]
        found.sort(key=lambda item: float(item["StartTimestamp"]), reverse=not filters.get("ReverseOrder"))
        for item in found[:limit]:
            yield item

    async def counts(self, function: str | None, **filters: object) -> dict[str, Counter[str]]:
        """Return how many executions each function has in each status. AWS does not offer it."""
        operation = "CountDurableExecutions"
        answer = await self.call(operation, FunctionName=function, **filters)
        return {
            str(counted["FunctionName"]): Counter(counted["Executions"])
            for counted in self.required(answer, "Functions", operation)
        }

    def events(
        self, arn: str, *, data: bool = True, reverse: bool = False, limit: int | None = None
    ) -> AsyncGenerator[JsonObject]:
        """Yield the events of the history as it is now."""
        asked = {"DurableExecutionArn": arn, "IncludeExecutionData": data, "ReverseOrder": reverse}
        return self.items("GetDurableExecutionHistory", "Events", limit, **asked)

    def typed(self) -> Executions:
        """Return the executions of the service as Python values."""
        return TypedExecutions(RemoteApi(self))


@attrs.frozen
class TypedExecutions(Executions):
    """The executions of any service. Functions are named, since no handler is registered."""

    api: DurableApi

    def _api(self) -> DurableApi:
        return self.api

    def _place_of(self, function: AnyHandler | str) -> tuple[str, int | None]:
        return str(function), None
