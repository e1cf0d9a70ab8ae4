"""The two views of an execution: which spans its operations get, what their parents are, and when they are exported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Protocol

import attrs
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext

from durable_async.otel._identity import operation_span_id
from durable_async.otel._tracing import (
    ATTEMPT,
    OK,
    STATUS,
    Placeholder,
    Spans,
    name_of,
    nanoseconds,
    operation_attributes,
    record_error,
    says_something,
)
from durable_async.plugins import OperationInfo, UserFunctionEndInfo, UserFunctionInfo, UserFunctionOutcome

Links = tuple[Link, ...]

_TRUNCATED = "durable.span.truncated_at_invocation_boundary"


class View(Protocol):
    """One invocation's operations. Times are in nanoseconds."""

    @property
    def body(self) -> Span:
        """The span that is current in the workflow's own code."""
        ...

    def started(self, info: OperationInfo) -> None:
        """Begin what is shown of an operation that has started, or that continues in this invocation."""
        ...

    def attempt(self, info: UserFunctionInfo) -> Span:
        """Begin the span of an attempt."""
        ...

    def attempt_ended(self, info: UserFunctionEndInfo) -> None:
        """End the span of an attempt."""
        ...

    def entered(self, info: UserFunctionInfo) -> Span:
        """Return the span that is current in the function of a context."""
        ...

    def ended(self, info: OperationInfo) -> None:
        """End what is shown of an operation."""
        ...

    def close(self) -> None:
        """End what is still open, before the invocation ends."""
        ...


@attrs.define(eq=False)
class _Open:
    """An operation that has not ended.

    :ivar attributes: those that it has in common with its attempts
    :ivar span: its span, or what stands for it
    """

    name: str
    attributes: dict[str, str | int]
    span: Span
    attempt: Span | None = attrs.field(default=None, init=False)


def _begin_attempt(spans: Spans, operation: _Open, number: int | None, links: Links, at: int) -> Span:
    assert number is not None
    name, attributes = f"{operation.name} attempt {number}", {**operation.attributes, ATTEMPT: number}
    operation.attempt = spans.start(name, operation.span, attributes, links=links, at=at)
    return operation.attempt


def _end_attempt(span: Span, info: UserFunctionEndInfo, at: int) -> None:
    match info.outcome:
        case UserFunctionOutcome.SUCCEEDED:
            span.set_status(OK)
        case UserFunctionOutcome.FAILED if info.error is not None:
            record_error(span, info.error, at)
        case _:
            _cut_short(span, at)
            return
    span.set_attribute("durable.attempt.outcome", str(info.outcome))
    span.end(at)


def _cut_short(attempt: Span, at: int) -> None:
    attempt.set_attribute(_TRUNCATED, True)  # noqa: FBT003 - OpenTelemetry's signature
    attempt.end(at)


def _outcome(info: OperationInfo) -> dict[str, str | int]:
    status: dict[str, str | int] = {STATUS: info.status}
    return status if info.attempt is None else {**status, ATTEMPT: info.attempt}


def _end(span: Span, info: OperationInfo, at: int) -> None:
    if info.status == "SUCCEEDED":
        span.set_status(OK)
    elif says_something(info.error):
        record_error(span, info.error, at)
    span.end(at)


@attrs.define(eq=False)
class _Segment(_Open):
    """What one operation did in one invocation.

    :ivar inner: the open segments of the operations in it, by operation id, in the order in which they began
    """

    around: _Segment | None
    inner: dict[str, _Segment] | None = None


class InvocationView:
    """An operation has one span in each invocation in which it was open, within that of the invocation."""

    def __init__(self, spans: Spans, invocation: Span, workflow: Placeholder) -> None:
        around = spans.traced.around
        self.body: Span = invocation if around is None else around
        self._spans = spans
        self._invocation = invocation
        self._links: Links = (Link(workflow.get_span_context()),)
        self._open: dict[str, _Segment] = {}  # by operation id, in the order in which they began
        self._ended: set[str] = set()

    def started(self, info: OperationInfo) -> None:
        if info.operation_id not in self._open:
            self._begin(info, goes_on=info.is_replayed)

    def attempt(self, info: UserFunctionInfo) -> Span:
        segment = self._open.get(info.operation_id) or self._begin(info, goes_on=info.is_replayed)
        return _begin_attempt(self._spans, segment, info.attempt, self._links, self._spans.ticks.now())

    def attempt_ended(self, info: UserFunctionEndInfo) -> None:
        segment = self._open.get(info.operation_id)
        if segment is not None and segment.attempt is not None:
            _end_attempt(segment.attempt, info, self._spans.ticks.now())
            segment.attempt = None

    def entered(self, info: UserFunctionInfo) -> Span:
        segment = self._open.get(info.operation_id)
        if segment is None:
            # Either its result is built again, or it is not recorded and has no identity beyond this call.
            segment = self._begin(info, goes_on=info.is_replay_children, derived=False)
        return segment.span

    def ended(self, info: OperationInfo) -> None:
        if info.operation_id in self._ended:
            return
        segment = self._open.get(info.operation_id)
        if segment is None:  # it ended between the invocations
            segment = self._begin(info, goes_on=True)
        self._ended.add(info.operation_id)
        self._leave(info.operation_id, segment)
        segment.span.set_attributes(_outcome(info))
        _end(segment.span, info, self._spans.ticks.now())

    def close(self) -> None:
        for segment in reversed(self._open.values()):
            self._leave_open(segment)
        self._open.clear()

    def _begin(self, info: OperationInfo, *, goes_on: bool, derived: bool = True) -> _Segment:
        around = None if info.parent_id is None else self._open.get(info.parent_id)
        span_id = operation_span_id(info.execution_arn, info.operation_id)
        name, attributes = name_of(info), operation_attributes(info)
        span = self._spans.start(
            name,
            self._invocation if around is None else around.span,
            attributes,
            span_id=span_id if derived and not goes_on else None,
            links=(Link(self._spans.traced.context(span_id)), *self._links) if goes_on else self._links,
        )
        segment = self._open[info.operation_id] = _Segment(name, attributes, span, around)
        if around is not None:
            if around.inner is None:
                around.inner = {}
            around.inner[info.operation_id] = segment
        return segment

    def _leave(self, operation_id: str, segment: _Segment) -> None:
        """Take out a segment that ends, and end what is open in it, such as the branches that lost a race."""
        for inner_id, inner in reversed(list((segment.inner or {}).items())):
            self._leave(inner_id, inner)
            self._leave_open(inner)
        self._abandon_attempt(segment)
        del self._open[operation_id]
        if segment.around is not None and segment.around.inner is not None:
            del segment.around.inner[operation_id]

    def _leave_open(self, segment: _Segment) -> None:
        self._abandon_attempt(segment)
        segment.span.set_attribute(STATUS, "STARTED")
        segment.span.end(self._spans.ticks.now())

    def _abandon_attempt(self, segment: _Segment) -> None:
        if segment.attempt is not None:
            _cut_short(segment.attempt, self._spans.ticks.now())
            segment.attempt = None


@attrs.define(eq=False)
class _Operation(_Open):
    """An operation whose span is made when it ends, or the execution as a whole.

    :ivar first: the first moment that is known of it and of what is in it
    :ivar last: the last one
    """

    around: _Operation | None
    first: int = sys.maxsize
    last: int = 0

    def hold(self, first: int, last: int) -> None:
        """Widen the operation, and all that it is in, to hold something that happened in it."""
        widened: _Operation | None = self
        while widened is not None and (first < widened.first or widened.last < last):
            widened.first = min(widened.first, first)
            widened.last = max(widened.last, last)
            widened = widened.around


class ExecutionView:
    """An operation has one span, from its recorded start to its recorded end, exported when that is known."""

    def __init__(
        self, spans: Spans, invocation: Span, workflow: Placeholder, ended: Mapping[str, OperationInfo]
    ) -> None:
        self.body: Span = workflow
        self.execution: _Operation = _Operation(workflow.name, {}, workflow, None)
        self._spans = spans
        self._links: Links = (Link(invocation.get_span_context()),)
        self._news = set(ended)  # those that ended since the last invocation
        self._open: dict[str, _Operation] = {}
        self._unrecorded: dict[str, Span] = {}
        self._exported: set[str] = set()  # the operations whose span was exported, in this invocation or an earlier one

    def started(self, info: OperationInfo) -> None:
        if info.operation_id not in self._open:
            self._begin(info)

    def attempt(self, info: UserFunctionInfo) -> Span:
        operation = self._open.get(info.operation_id) or self._begin(info)
        at = self._spans.ticks.now()
        operation.hold(at, at)
        return _begin_attempt(self._spans, operation, info.attempt, self._links, at)

    def attempt_ended(self, info: UserFunctionEndInfo) -> None:
        operation = self._open.get(info.operation_id)
        if operation is not None and operation.attempt is not None:
            at = self._spans.ticks.now()
            operation.hold(at, at)
            _end_attempt(operation.attempt, info, at)
            operation.attempt = None

    def entered(self, info: UserFunctionInfo) -> Span:
        operation = self._open.get(info.operation_id)
        if info.is_replay_children:
            if info.operation_id not in self._news:
                self._exported.add(info.operation_id)  # only its result is built again
            operation = operation or self._begin(info)
        if operation is not None:
            return operation.span
        span = self._unrecorded[info.operation_id] = self._spans.start(
            name_of(info), self._around(info).span, operation_attributes(info), links=self._links
        )
        return span

    def ended(self, info: OperationInfo) -> None:
        if (unrecorded := self._unrecorded.pop(info.operation_id, None)) is not None:
            unrecorded.set_attributes(_outcome(info))
            _end(unrecorded, info, self._spans.ticks.now())
            return
        operation = self._open.get(info.operation_id) or self._begin(info)
        del self._open[info.operation_id]
        if info.operation_id not in self._exported:
            self._exported.add(info.operation_id)
            self._export(operation, info)

    def _export(self, operation: _Operation, info: OperationInfo) -> None:
        recorded = [nanoseconds(moment) for moment in (info.start_time, info.end_time) if moment is not None]
        recorded = recorded or [self._spans.ticks.now()]
        operation.hold(min(recorded), max(recorded))
        operation.hold(operation.first, operation.first + 1000)
        span = self._spans.start(
            operation.name,
            self._around(info).span,
            {**operation.attributes, **_outcome(info)},
            span_id=operation.span.get_span_context().span_id,
            links=self._links,
            at=operation.first,
        )
        _end(span, info, operation.last)

    def close(self) -> None:
        at = self._spans.ticks.now()
        for operation in self._open.values():
            if operation.attempt is not None:
                _cut_short(operation.attempt, at)
        for span in reversed(self._unrecorded.values()):
            span.set_attribute(STATUS, "STARTED")
            span.end(at)

    def _begin(self, info: OperationInfo) -> _Operation:
        name, attributes = name_of(info), operation_attributes(info)
        span = Placeholder(self._context_of(info.operation_id), name, attributes)
        operation = self._open[info.operation_id] = _Operation(name, attributes, span, self._around(info))
        return operation

    def _around(self, info: OperationInfo) -> _Operation:
        if info.parent_id is None:
            return self.execution
        if (around := self._open.get(info.parent_id)) is not None:
            return around
        stands_for_it = NonRecordingSpan(self._context_of(info.parent_id))
        return _Operation("", {}, stands_for_it, self.execution)

    def _context_of(self, operation_id: str) -> SpanContext:
        return self._spans.traced.context(operation_span_id(self._spans.traced.arn, operation_id))
