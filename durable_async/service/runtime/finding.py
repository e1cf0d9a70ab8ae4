"""Finds the executions and functions that callers name."""

from __future__ import annotations

import attrs

from durable_async.service import machine
from durable_async.service.machine import Execution
from durable_async.service.model import arns
from durable_async.service.model.errors import InvalidParameterValueError, ResourceNotFoundError
from durable_async.service.runtime.filters import Filters, query_of
from durable_async.service.runtime.registry import Registry
from durable_async.service.runtime.retention import Retention
from durable_async.service.store import ExecutionQuery, Store


@attrs.frozen
class Finder:
    """Finds what is registered or stored. An execution whose retention is over is not found."""

    store: Store
    registry: Registry
    retention: Retention

    async def execution(self, arn: str) -> Execution:
        """Return the execution with this ARN.

        :raises ApiError: InvalidParameterValue (malformed), ResourceNotFound
        """
        reference = arns.parse_execution(arn)
        if reference is None:
            raise InvalidParameterValueError(f"Invalid durable execution ARN '{arn}'")
        execution = await self.store.load(reference.id)
        if execution is None or execution.arn != arn or self.retention.is_over(execution):
            raise ResourceNotFoundError(f"Durable execution not found: {arn}")
        return execution

    async def invoked_execution(self, arn: str) -> Execution:
        """Return the execution of a running invocation.

        :raises InvalidParameterValueError: there is none
        """
        try:
            return await self.execution(arn)
        except ResourceNotFoundError:
            raise InvalidParameterValueError("Invalid checkpoint token") from None

    async def waiting_execution(self, callback_id: str) -> Execution:
        """Return the execution to which a callback belongs.

        :raises ApiError: InvalidParameterValue (malformed), ResourceNotFound
        """
        place = machine.callback_place(callback_id)
        if place is None:
            raise InvalidParameterValueError("Invalid callback id")
        execution = await self.store.load(place[0])
        if execution is None or self.retention.is_over(execution):
            raise ResourceNotFoundError("Callback not found")
        return execution

    async def query(self, function_name: str | None, qualifier: str | None, filters: Filters) -> ExecutionQuery:
        """Return the store's query for executions of a function, or of all functions.

        :raises ApiError: ResourceNotFound (the function), InvalidParameterValue (a filter)
        """
        if function_name is None:
            return query_of(None, filters)
        parsed, known = arns.parse_function(function_name), await self._known(function_name, qualifier)
        version = qualifier or (None if parsed is None else parsed.qualifier)
        is_number = version is not None and version.isdecimal() and self.registry.is_versioned(known)
        return attrs.evolve(query_of(known, filters), version=version if is_number else None)

    async def functions(self, default_timeout: int) -> dict[str, int | None]:
        """Return the functions that are registered or have stored executions, each with the timeout of its executions
        in seconds; None: it is not durable.

        :param default_timeout: of a function that is not registered
        """
        timeouts: dict[str, int | None] = dict.fromkeys(await self.store.function_names(), default_timeout)
        for name in {each.name for each in self.registry.all()}:
            newest = self.registry.named(name)
            timeouts[name] = newest.execution_timeout if newest.function.durable else None
        return timeouts

    async def _known(self, function_name: str, qualifier: str | None) -> str:
        """Return the name of a function that is registered or has stored executions."""
        try:
            return self.registry.named(function_name, qualifier).name
        except ResourceNotFoundError:
            parsed = arns.parse_function(function_name)
            if parsed is None or parsed.name not in await self.store.function_names():
                raise
            return parsed.name
