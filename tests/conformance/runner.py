"""Runs a case against a service, from outside: over HTTP with boto3, and by the service's log file.

Everything that is read is compared by the pure modules; this one only waits and asks.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.otlp_receiver import spans_in

from .callbacks import Switchboard, UnansweredCallbackError
from .case import ABSENT, CallbackAction, CallbackOperation, Case, draw_variables
from .logs import match_logs, records_of
from .matching import Names, fill, match_history, match_result, name_parts_of_wait_for_callback
from .server import SERVICE_NAME
from .spans import match_spans

TERMINAL = {"SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"}
_PAGE = 5  # small, so that paging is exercised by every longer history


@attrs.frozen
class Pace:
    """How long the runner waits, in seconds. The defaults are those of the cases' contract."""

    poll: float = 2.0
    quiet: float = 30.0  # without a new event an asynchronous case has failed
    logs_settle: float = 0.5  # lines may come a little after the end
    logs_within: float = 5.0
    spans_within: float = 5.0


@attrs.frozen
class Outcome:
    """What one run found. No differences: the service conforms, as far as it was compared."""

    case: Case
    execution_arn: str | None = None
    differences: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0

    @property
    def conforms(self) -> bool:
        return not self.differences

    def report(self) -> str:
        """The differences and the history in which they were found, for a person."""
        found = "\n".join(f"  {difference}" for difference in self.differences)
        history = "\n".join(f"  {_event_line(event)}" for event in self.history)
        return f"{self.case}: {self.case.description}\n{found}\n{self.execution_arn}\n{history}"


class CaseFailedError(Exception):
    """The run of a case can't go on: what it waits for won't come."""


def connect(url: str) -> Any:
    """A Lambda client for a service at a URL.

    It never repeats a call: an invoke sent twice would be two executions. It waits for a synchronous invoke longer
    than an execution may take (300 s).
    """
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(read_timeout=320, retries={"total_max_attempts": 1}, max_pool_connections=64),
    )


@attrs.frozen
class Runner:
    """Runs cases against one service. May be used by several threads at once.

    :ivar log_file: what the service writes its functions' lines to; None leaves expected logs uncompared
    :ivar span_file: what ``tests.otlp_receiver`` writes the functions' spans to; None leaves spans uncompared
    """

    client: Any
    log_file: Path | None = None
    pace: Pace = Pace()
    span_file: Path | None = None

    def run(self, case: Case) -> Outcome:
        """Run a case to its end, or until it is clear that it fails."""
        began = time.monotonic()
        execution = _Execution(self, case, draw_variables(case.variables, random.Random()))
        try:
            execution.start()
            execution.await_end()
            differences = execution.differences()
        except (CaseFailedError, UnansweredCallbackError) as failure:
            differences = [str(failure), *execution.history_differences()]
        except (ClientError, BotoCoreError) as failure:
            differences = [f"{type(failure).__name__}: {failure}"]
        return Outcome(
            case=case,
            execution_arn=execution.arn,
            differences=tuple(differences),
            not_compared=tuple(self._not_compared(case)),
            history=tuple(execution.history),
            seconds=time.monotonic() - began,
        )

    def _not_compared(self, case: Case) -> Iterator[str]:
        if case.logs and self.log_file is None:
            yield "logs"
        if case.spans is not None and self.span_file is None:
            yield "spans"


@attrs.define
class _Execution:
    """One run of one case."""

    runner: Runner
    case: Case
    variables: Names
    arn: str | None = None
    status: str = ""
    result: str | None = None
    history: list[Mapping[str, Any]] = attrs.field(factory=list)

    def start(self) -> None:
        """Invoke the function. A synchronous invoke returns when the execution has ended."""
        answer = self.runner.client.invoke(
            FunctionName=self.case.id,
            Qualifier="$LATEST",
            InvocationType="Event" if self.case.asynchronous else "RequestResponse",
            Payload=json.dumps(fill(self.case.input, self.variables)).encode(),
        )
        answer["Payload"].read()  # gives the connection back
        self.arn = answer.get("DurableExecutionArn")
        if self.arn is None:
            raise CaseFailedError("the reply to Invoke carries no execution ARN")

    def await_end(self) -> None:
        """Read the history once, or, if asynchronous, until there is nothing more to come."""
        switchboard = Switchboard(list(self.case.actions), self.variables)
        last_news = time.monotonic()
        while True:
            known = len(self.history)
            self._read()
            if self.status in TERMINAL:
                return
            if not self.case.asynchronous:
                raise CaseFailedError(f"the invoke has returned, and the execution is {self.status}")
            if self.case.status is None and not self.history_differences():
                return
            if len(self.history) > known:
                last_news = time.monotonic()
            elif time.monotonic() - last_news > self.runner.pace.quiet:
                raise CaseFailedError(
                    f"no new event for {self.runner.pace.quiet:g} s, and the execution is {self.status}"
                )
            for callback_id, action in switchboard.due(self.history):
                time.sleep(action.delay)
                self._send(callback_id, action)
            time.sleep(self.runner.pace.poll)

    def differences(self) -> list[str]:
        """Compare history, result, logs and spans, in this order: the history binds names that the others use."""
        names = dict(self.variables)
        return [
            *match_history(self.case.history, self.history, names),
            *match_result(self.case.status, self.case.result, self.status, self.result, self.variables),
            *self._log_differences(names),
            *self._span_differences(names),
        ]

    def history_differences(self) -> list[str]:
        return match_history(self.case.history, self.history, dict(self.variables))

    def _read(self) -> None:
        client = self.runner.client
        execution = client.get_durable_execution(DurableExecutionArn=self.arn)
        self.status, self.result = execution["Status"], execution.get("Result")
        pages = client.get_paginator("get_durable_execution_history").paginate(
            DurableExecutionArn=self.arn, IncludeExecutionData=True, PaginationConfig={"PageSize": _PAGE}
        )
        events: list[Mapping[str, Any]] = [event for page in pages for event in page["Events"]]
        self.history = name_parts_of_wait_for_callback(events) if self.case.asynchronous else events

    def _send(self, callback_id: str, action: CallbackAction) -> None:
        client, payload = self.runner.client, fill(action.payload, self.variables)
        match action.operation:
            case CallbackOperation.HEARTBEAT:
                client.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
            case CallbackOperation.FAILURE:
                client.send_durable_execution_callback_failure(
                    CallbackId=callback_id, Error={} if payload is ABSENT else payload
                )
            case CallbackOperation.SUCCESS if payload is ABSENT:
                client.send_durable_execution_callback_success(CallbackId=callback_id)
            case CallbackOperation.SUCCESS:
                client.send_durable_execution_callback_success(
                    CallbackId=callback_id, Result=json.dumps(payload).encode()
                )

    def _log_differences(self, names: Names) -> list[str]:
        """Compare when the lines have had time to arrive, and again while they still may."""
        if not self.case.logs or self.runner.log_file is None or self.arn is None:
            return []
        time.sleep(self.runner.pace.logs_settle)
        deadline = time.monotonic() + self.runner.pace.logs_within
        while True:
            with self.runner.log_file.open(encoding="utf-8") as lines:
                differences = match_logs(self.case.logs, records_of(self.arn, lines), names)
            if not differences or time.monotonic() > deadline:
                return differences
            time.sleep(0.2)

    def _span_differences(self, names: Names) -> list[str]:
        """Compare when the spans are there, and once more when the case says how long nothing else may come."""
        if self.case.spans is None or self.runner.span_file is None or self.arn is None:
            return []
        names = {**names, "EXECUTION_ARN": self.arn, "SERVICE_NAME": SERVICE_NAME}
        deadline = time.monotonic() + self.runner.pace.spans_within
        while differences := match_spans(self.case.spans, spans_in(self.runner.span_file), names):
            if time.monotonic() > deadline:
                return differences
            time.sleep(0.2)
        time.sleep(self.case.spans.get("quiescence_seconds", 0))
        return match_spans(self.case.spans, spans_in(self.runner.span_file), names)


def _event_line(event: Mapping[str, Any]) -> str:
    details = event.get(f"{event['EventType']}Details") or {}
    where = " ".join(f"{key}={event[key]}" for key in ("SubType", "Name", "Id", "ParentId") if event.get(key))
    text = json.dumps(details, default=str, ensure_ascii=False)
    return f"{event['EventId']:3} {event['EventType']} {where} {text if len(text) < 300 else text[:300] + '...'}"
