"""A durable service on virtual time, for tests: when nothing runs, the clock jumps to what is due next."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Self

from durable_async import DurableHandler, EngineLimits
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import InProcessClient
from durable_async.errors import ServiceCallError
from durable_async.service.functions.base import InProcessFunction, InvocationRequest, LambdaContext
from durable_async.service.http.rendering import event_json
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.views import Closed
from durable_async.testing import VirtualTime

NO_START_BEFORE_ITS_END = EngineLimits(show_start=600.0)
"""With these the START of a step is sent with its end, however slow the machine is."""


class Crash(ServiceCallError):
    """Ends an invocation as a dead process would: what was not recorded is lost, and Lambda invokes again."""

    def __init__(self) -> None:
        super().__init__("checkpoint", "the process is gone")


class World:
    """Handlers run in this process, on a service whose clock is virtual.

    :param cache: where executions stay in memory while they wait; None: nowhere
    :param engine: the limits of all handlers; None: each has its own
    :ivar extended: False: handlers are not told what the service knows beyond Lambda
    :ivar calls: the updates of each checkpoint call, as ``ACTION name`` each
    """

    def __init__(
        self, cache: ExecutionCache | None = None, *, engine: EngineLimits | None = None, **options: Any
    ) -> None:
        self.clock = VirtualTime()
        self.engine = engine
        self.cache = cache
        self.service = LambdaApi(clock=self.clock, **options)
        self.calls: list[list[str]] = []
        self.crash_after: int | None = None
        self.succeeded: set[str | None] = set()
        self.recorded_before_the_crash: set[str | None] = set()
        self.invocations = 0
        self.hold: asyncio.Event | None = None
        self.held = False
        self.repeats = False
        self.extended = True

    async def __aenter__(self) -> Self:
        await self.service.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.aclose()
        if self.cache is not None:
            await self.cache.aclose()

    def register(self, handler: DurableHandler[Any, Any], name: str = "workflow") -> None:
        handler._clock = self.clock
        if self.engine is not None:
            handler._limits = self.engine
        self.service.register(name, self._function(handler))

    async def start(self, handler: DurableHandler[Any, Any], event: bytes = b"{}") -> str:
        self.register(handler)
        started = await self.service.invoke("workflow", event, qualifier="$LATEST")
        return started.execution_arn

    async def run(self, handler: DurableHandler[Any, Any], event: bytes = b"{}") -> Closed:
        """Run an execution to its end, over as many invocations and as much virtual time as it takes."""
        return await self.finish(await self.start(handler, event))

    async def finish(self, arn: str) -> Closed:
        waiting = asyncio.ensure_future(self.service.wait(arn))
        while True:
            await self.settle()
            await asyncio.sleep(0)
            if waiting.done():
                return await waiting
            due = self.service.next_due()
            assert due is not None, "the execution waits for something that is no timer"
            self.clock.move_to(due)
            await self.service.fire_due()

    def _function(self, handler: DurableHandler[Any, Any]) -> InProcessFunction:
        """The handler in this process, whose invocations and calls are counted."""
        run = handler.run if self.cache is None else partial(self.cache.run, handler)

        async def call(event: Any, request: InvocationRequest) -> Any:
            self.invocations += 1
            if not self.extended:
                del event["Extensions"]
                for operation in event["InitialExecutionState"]["Operations"]:
                    operation.pop("StartMicroseconds", None)
                    operation.pop("EndMicroseconds", None)
            return await run(event, client=self.client(), lambda_context=LambdaContext.of(request))

        return InProcessFunction(call, durable=True, memory=self.cache)

    def client(self) -> Any:
        """Return the client of one invocation."""
        return Client(InProcessClient(self.service), self)

    async def settle(self) -> None:
        """Return when no function runs."""
        await self.service.idle()

    async def events(self, arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        marker = None
        while True:
            page = await self.service.get_history(arn, max_items=1000, marker=marker)
            events += [event_json(event) for event in page.items]
            marker = page.next_marker
            if not marker:
                return events

    async def event_types(self, arn: str) -> list[str]:
        return [event["EventType"] for event in await self.events(arn)]


class Client:
    """Notes the calls, and crashes when the world says so: after the service has accepted, before anybody hears."""

    def __init__(self, client: InProcessClient, world: World) -> None:
        self.client = client
        self.world = world
        self.told: dict[str, Any] = {}

    async def checkpoint(self, arn, token, updates, client_token):
        if self.world.hold is not None:
            self.world.held = True
            await self.world.hold.wait()
        result = await self.client.checkpoint(arn, token, updates, client_token)
        if self.world.repeats:
            told = {operation["Id"]: operation for operation in result["NewExecutionState"]["Operations"]}
            self.told |= told
            result = {**result, "NewExecutionState": {"Operations": [*self.told.values()]}}
        self.world.succeeded |= {update.get("Name") for update in updates if update["Action"] == "SUCCEED"}
        self.world.calls.append([f"{update['Action']} {update.get('Name', update['Type'])}" for update in updates])
        if self.world.crash_after is not None:
            self.world.crash_after -= 1
            if self.world.crash_after < 0:
                self.world.crash_after = None
                self.world.recorded_before_the_crash = set(self.world.succeeded)
                raise Crash
        return result

    async def get_state(self, arn, token, marker):
        return await self.client.get_state(arn, token, marker)
