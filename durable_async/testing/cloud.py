"""A function that is deployed, on AWS or served anywhere, run from a test over Lambda's API, in real time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import JsonMembers, utf8
from durable_async.errors import (
    ExecutionError,
    ExecutionFailedError,
    ExecutionStoppedError,
    ExecutionTimedOutError,
)
from durable_async.handler import DurableHandler
from durable_async.service import ExecutionStatus
from durable_async.service.model.exported import read_history
from durable_async.testing.execution import FinishedExecution
from durable_async.testing.operations import Journal, OperationView
from durable_async.testing.virtual_time import StuckError

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

_ERRORS: Mapping[str, type[ExecutionError]] = {
    ExecutionStatus.FAILED: ExecutionFailedError,
    ExecutionStatus.TIMED_OUT: ExecutionTimedOutError,
    ExecutionStatus.STOPPED: ExecutionStoppedError,
}


@attrs.frozen
class CloudRunner(Generic[EventT, ResultT]):
    """Run executions of a deployed function: ``CloudRunner(client, fulfil, "fulfil:live")``.

    :ivar client: an aiobotocore client of Lambda, such as that of ``get_session().create_client("lambda")``
    :ivar handler: whose types the event and the result have; it is not called
    :ivar function: its deployed name or ARN, with a version, an alias or ``$LATEST``
    :ivar poll: how long to wait between two looks at the history
    """

    client: Any
    handler: DurableHandler[EventT, ResultT]
    function: str
    poll: timedelta = timedelta(seconds=0.5)

    async def run(
        self,
        event: EventT,
        *,
        name: str | None = None,
        callbacks: Mapping[str, object] | None = None,
        timeout: timedelta = timedelta(minutes=15),
    ) -> FinishedExecution[ResultT]:
        """Start an execution, wait for its end, and return what happened, as ``durable_async.testing.run`` does.

        :param name: of the execution; None: a new one
        :param callbacks: answers by the name of the callback: an exception is a failure, any other value a result
        :param timeout: how long to wait, in real time
        :raises StuckError: the execution is still open after ``timeout``; it goes on
        """
        started = await self.client.invoke(
            FunctionName=self.function,
            InvocationType="Event",
            DurableExecutionName=name or str(uuid4()),
            Payload=utf8(self.handler.encode_event(event)),
        )
        arn: str = started["DurableExecutionArn"]
        journal, answered = Journal(), set[str]()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while not journal.is_closed:
                    await self._read(arn, journal)
                    for callback in journal.open_callbacks():
                        await self._answer(journal, callback, callbacks or {}, answered)
                    if not journal.is_closed:
                        await asyncio.sleep(self.poll.total_seconds())
        except TimeoutError:
            raise StuckError(f"{arn} is {journal.status} after {timeout}. Its operations: {journal.named()}") from None
        return await self._finished(arn, journal)

    async def _read(self, arn: str, journal: Journal) -> None:
        events: list[JsonMembers] = []
        more: dict[str, str] = {}
        while True:
            page = await self.client.get_durable_execution_history(
                DurableExecutionArn=arn, IncludeExecutionData=True, MaxItems=1000, **more
            )
            events += page["Events"]
            if not page.get("NextMarker"):
                break
            more = {"Marker": page["NextMarker"]}
        journal.read([event for event in read_history(events).events if event.id > journal.last_id()])

    async def _answer(
        self, journal: Journal, callback: OperationView, callbacks: Mapping[str, object], answered: set[str]
    ) -> None:
        name = next((each for each in journal.callback_names(callback) if each in callbacks), None)
        if name is None or callback.callback_id is None or callback.callback_id in answered:
            return
        answered.add(callback.callback_id)
        answer = callbacks[name]
        if isinstance(answer, BaseException):
            error = {"ErrorType": type(answer).__name__, "ErrorMessage": str(answer)}
            await self.client.send_durable_execution_callback_failure(CallbackId=callback.callback_id, Error=error)
        else:
            result = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await self.client.send_durable_execution_callback_success(CallbackId=callback.callback_id, Result=result)

    async def _finished(self, arn: str, journal: Journal) -> FinishedExecution[ResultT]:
        details = next(each.details for each in reversed(journal.events) if each.type.is_end_of_execution())
        if journal.status is ExecutionStatus.SUCCEEDED:
            result = await self.handler.decode_result(arn, details.get("Result") or "null")
            return FinishedExecution(arn, journal, [result], None)
        recorded: ErrorObject = details.get("Error") or ErrorObject()
        error = _ERRORS[journal.status](
            recorded.get("ErrorMessage") or f"the execution is {journal.status}",
            arn,
            recorded.get("ErrorType"),
            recorded.get("ErrorData"),
            tuple(recorded.get("StackTrace") or ()),
        )
        return FinishedExecution(arn, journal, [], error)
