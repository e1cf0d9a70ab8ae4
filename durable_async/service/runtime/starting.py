"""Starts executions: gives them their ids and names, and finds those that have the name already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import attrs

from durable_async._wire.text import is_same_json
from durable_async.service import machine
from durable_async.service.computing import compute
from durable_async.service.machine import Execution, Moment, NewExecution, Source
from durable_async.service.model import arns
from durable_async.service.model.errors import AlreadyStartedError, InvalidParameterValueError
from durable_async.service.runtime.commands import Make, start_at_once
from durable_async.service.runtime.filters import checked_tags
from durable_async.service.runtime.inputs import ForkOptions, check_execution_name, read_event
from durable_async.service.runtime.registry import Registered, Registry
from durable_async.service.runtime.runner import Runner
from durable_async.service.runtime.views import Started


@attrs.frozen
class Starter:
    """Starts the executions of one service.

    :ivar new_id: makes the id of an execution, and its name if it is given none
    """

    registry: Registry
    runner: Runner
    new_id: Callable[[], str]

    def new(
        self,
        registered: Registered,
        text: str,
        execution_name: str | None,
        tags: Mapping[str, str] | None,
        *,
        tenant_id: str | None = None,
        trace_header: str | None = None,
    ) -> NewExecution:
        """Return what an execution begins with.

        :raises InvalidParameterValueError: a tag breaks a rule
        """
        execution_id, name = self.new_id(), execution_name or self.new_id()
        function_arn = self.registry.start_arn(registered)
        return NewExecution(
            id=execution_id,
            arn=arns.execution_arn(function_arn, name, execution_id),
            name=name,
            function_name=registered.name,
            function_arn=function_arn,
            version=registered.begins_on,
            input=text,
            timeout_seconds=registered.execution_timeout,
            tenant_id=tenant_id,
            trace_header=trace_header,
            tags=checked_tags(tags),
            cancel_before_seconds=registered.cancel_before,
        )

    async def start(self, new: NewExecution, make: Make = start_at_once) -> NewExecution | Execution:
        """Return what was started, or the execution that has the name."""
        existing = await self.runner.commands.start(new, make)
        if existing is not None and self.runner.retention.is_over(existing):
            await self.runner.delete(existing.id)
            existing = await self.runner.commands.start(new, make)
        return existing or new

    async def invoke(  # noqa: PLR0917 - what an Invoke says
        self,
        registered: Registered,
        payload: bytes,
        execution_name: str | None,
        tenant_id: str | None,
        trace_header: str | None,
        tags: Mapping[str, str] | None,
    ) -> Started:
        """Start an execution, or find the one that was started under ``execution_name`` with this payload.

        :raises ApiError: InvalidParameterValue (also: the function is not durable), InvalidRequestContent,
            RequestTooLarge, AlreadyStarted
        """
        if not registered.function.durable:
            raise InvalidParameterValueError(
                f"The function {registered.name} is not durable. In Python, put @durable_execution above it."
            )
        check_execution_name(execution_name)
        text, _ = await read_event(payload)
        new = self.new(registered, text, execution_name, tags, tenant_id=tenant_id, trace_header=trace_header)
        existing = await self.start(new)
        if isinstance(existing, Execution) and not is_same_json(existing.input, text):
            raise AlreadyStartedError(
                f"An execution named {existing.name} exists already, and was started with another payload."
            )
        return Started(existing.arn, existing.version)

    async def fork(self, registered: Registered, source: Source, options: ForkOptions) -> Started:
        """Start an execution with the record of ``source`` up to an operation.

        :raises ApiError: InvalidParameterValue, AlreadyStarted
        """
        execution_name, payload = options.get("execution_name"), options.get("payload")
        check_execution_name(execution_name)
        if not registered.function.durable:
            raise InvalidParameterValueError(f"The function {registered.name} is not durable.")
        text = source.derived.input if payload is None else (await read_event(payload))[0]
        new = self.new(registered, text, execution_name, options.get("tags"))
        before, replace = options.get("before"), options.get("replace") or {}

        async def make(new: NewExecution, at: Moment) -> Execution:
            forked = partial(machine.fork, source, new, before, replace, at)
            return await compute(forked, light=machine.is_light(source.history))

        existing = await self.start(new, make)
        if existing is not new:
            raise AlreadyStartedError(f"An execution named {existing.name} exists already.")
        return Started(new.arn, new.version)
