"""The two views of an execution: which spans its operations get, what their parents are, and when they are exported."""

from __future__ import annotations

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
        """An operation has started, or continues in this invocation."""
        ...

    def attempt(self, info: UserFunctionInfo) -> Span:
        """Begin the span of an attempt."""
        ...

    def attempt_ended(self, info: UserFunctionEndInfo) -> None: ...

    def entered(self, info: UserFunctionInfo) -> Span:
        """Return the span that is current in the function of a context."""
        ...

    def ended(self, info: OperationInfo) -> None:
        """An operation has ended."""
        ...

    def close(self) -> None:
        """The invocation is about to end: end what is open."""
        ...


@attrs.define(eq=False)
class _Attempt:
    span: Span
    started: int


def _begin_attempt(spans: Spans, info: UserFunctionInfo, parent: Span, links: Links) -> _Attempt:
    assert info.attempt is not None
    attributes = operation_attributes(info)
    attributes[ATTEMPT] = info.attempt
    at = spans.ticks.now()
    return _Attempt(spans.start(f"{name_of(info)} attempt {info.attempt}", parent, attributes, links=links, at=at), at)


def _end_attempt(attempt: _Attempt, info: UserFunctionEndInfo, at: int) -> None:
    span = attempt.span
    match info.outcome:
        case UserFunctionOutcome.SUCCEEDED:
            span.set_status(OK)
        case UserFunctionOutcome.FAILED if info.error is not None:
            record_error(span, info.error, at)
        case _:
            _cut_short(attempt, at)
            return
    span.set_attribute("durable.attempt.outcome", info.outcome.value)
    span.end(at)


def _cut_short(attempt: _Attempt, at: int) -> None:
    attempt.span.set_attribute(_TRUNCATED, True)  # noqa: FBT003 - OpenTelemetry's signature
    attempt.span.end(at)


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
class _Segment:
    """What one operation did in one invocation.

    :ivar inner: the open segments of the operations in it, by operation id, in the order in which they began
    """

    span: Span
    around: _Segment | None
    attempt: _Attempt | None = None
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
        segment.attempt = _begin_attempt(self._spans, info, segment.span, self._links)
        return segment.attempt.span

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
        span = self._spans.start(
            name_of(info),
            self._invocation if around is None else around.span,
            operation_attributes(info),
            span_id=span_id if derived and not goes_on else None,
            links=(Link(self._spans.traced.context(span_id)), *self._links) if goes_on else self._links,
        )
        segment = self._open[info.operation_id] = _Segment(span, around)
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
class _Extent:
    """From the first to the last moment that is known of an operation and of what is in it."""

    first: int | None = None
    last: int | None = None

    def hold(self, first: int, last: int) -> None:
        self.first = first if self.first is None else min(first, self.first)
        self.last = last if self.last is None else max(last, self.last)


class ExecutionView:
    """An operation has one span, from its recorded start to its recorded end, exported when that is known."""

    def __init__(
        self, spans: Spans, invocation: Span, workflow: Placeholder, ended: Mapping[str, OperationInfo]
    ) -> None:
        self.body: Span = workflow
        self.extent: _Extent = _Extent()
        self._spans = spans
        self._links: Links = (Link(invocation.get_span_context()),)
        self._workflow = workflow
        self._news = set(ended)  # those that ended since the last invocation
        self._parents: dict[str, str | None] = {}
        self._extents: dict[str, _Extent] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._unrecorded: dict[str, Span] = {}
        self._exported: set[str] = set()  # the operations whose span was exported, in this invocation or an earlier one

    def started(self, info: OperationInfo) -> None:
        self._parents[info.operation_id] = info.parent_id

    def attempt(self, info: UserFunctionInfo) -> Span:
        self._parents[info.operation_id] = info.parent_id
        attempt = _begin_attempt(self._spans, info, self._placeholder(info.operation_id), self._links)
        self._attempts[info.operation_id] = attempt
        return attempt.span

    def attempt_ended(self, info: UserFunctionEndInfo) -> None:
        attempt = self._attempts.pop(info.operation_id, None)
        if attempt is not None:
            at = self._spans.ticks.now()
            _end_attempt(attempt, info, at)
            self._hold(info.operation_id, attempt.started, at)

    def entered(self, info: UserFunctionInfo) -> Span:
        operation_id = info.operation_id
        if info.is_replay_children and operation_id not in self._news:
            self._exported.add(operation_id)  # only its result is built again
        if info.is_replay_children or operation_id in self._parents:
            self._parents[operation_id] = info.parent_id
            context = self._context_of(operation_id)
            return Placeholder(context, name_of(info), operation_attributes(info))
        span = self._unrecorded[operation_id] = self._spans.start(
            name_of(info), self._parent_of(info), operation_attributes(info), links=self._links
        )
        return span

    def ended(self, info: OperationInfo) -> None:
        if (unrecorded := self._unrecorded.pop(info.operation_id, None)) is not None:
            unrecorded.set_attributes(_outcome(info))
            _end(unrecorded, info, self._spans.ticks.now())
            return
        if info.operation_id in self._exported:
            return
        self._exported.add(info.operation_id)
        self._parents[info.operation_id] = info.parent_id
        extent = self._extents.pop(info.operation_id, None) or _Extent()
        for moment in (info.start_time, info.end_time):
            if moment is not None:
                at = nanoseconds(moment)
                extent.hold(at, at)
        first = self._spans.ticks.now() if extent.first is None else extent.first
        last = max(first + 1000, extent.last or 0)
        span = self._spans.start(
            name_of(info),
            self._parent_of(info),
            {**operation_attributes(info), **_outcome(info)},
            span_id=operation_span_id(info.execution_arn, info.operation_id),
            links=self._links,
            at=first,
        )
        _end(span, info, last)
        self._hold(info.parent_id, first, last)

    def close(self) -> None:
        at = self._spans.ticks.now()
        for attempt in self._attempts.values():
            _cut_short(attempt, at)
        for span in reversed(self._unrecorded.values()):
            span.set_attribute(STATUS, "STARTED")
            span.end(at)

    def _context_of(self, operation_id: str) -> SpanContext:
        return self._spans.traced.context(operation_span_id(self._spans.traced.arn, operation_id))

    def _placeholder(self, operation_id: str) -> Span:
        return NonRecordingSpan(self._context_of(operation_id))

    def _parent_of(self, info: OperationInfo) -> Span:
        return self._workflow if info.parent_id is None else self._placeholder(info.parent_id)

    def _hold(self, operation_id: str | None, first: int, last: int) -> None:
        """Widen an operation, and all that it is in, to hold what happened in it."""
        while operation_id is not None and operation_id not in self._exported:
            self._extents.setdefault(operation_id, _Extent()).hold(first, last)
            operation_id = self._parents.get(operation_id)
        self.extent.hold(first, last)
