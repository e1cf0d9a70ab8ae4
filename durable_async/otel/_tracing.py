"""The spans of one invocation, whichever view: which trace they are in, what they are called, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from durable_async._raised import message_of, trace_of, type_name
from durable_async.errors import OperationError
from durable_async.otel._identity import Remote, anchor_id, trace_id_of, write_header
from durable_async.plugins import InvocationStartInfo, OperationInfo

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.util.types import Attributes

ARN = "durable.execution.arn"
STATUS = "durable.operation.status"
ATTEMPT = "durable.attempt.number"
ROOT = "DurableExecutionRoot"

OK = Status(StatusCode.OK)
_UNSET = Status(StatusCode.UNSET)

_MICROSECOND = 1000  # nanoseconds
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


class Ids:
    """Gives out the ids of one trace: chosen ones where they are derived, otherwise those of the provider's generator.

    :ivar span_id: of the next span; None: a random one
    """

    __slots__ = ("_own", "_trace_id", "span_id")

    def __init__(self, own: IdGenerator, trace_id: int) -> None:
        self._own = own
        self._trace_id = trace_id
        self.span_id: int | None = None

    def generate_span_id(self) -> int:
        chosen, self.span_id = self.span_id, None
        return self._own.generate_span_id() if chosen is None else chosen

    def generate_trace_id(self) -> int:
        return self._trace_id

    def is_trace_id_random(self) -> bool:
        return False


def header_of_current_span() -> str | None:
    """Return the X-Ray trace header with which the current span calls; None if there is none."""
    here = trace.get_current_span().get_span_context()
    return write_header(here.trace_id, here.span_id, sampled=here.trace_flags.sampled) if here.is_valid else None


def sdk_provider(provider: trace.TracerProvider) -> TracerProvider:
    """Return the provider, if it belongs to OpenTelemetry's SDK. Only such a provider can use given ids.

    :raises TypeError: it is another one
    """
    try:
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        raise TypeError("Tracing needs OpenTelemetry's SDK: pip install opentelemetry-sdk") from None
    if not isinstance(provider, TracerProvider):
        raise TypeError(f"a tracer provider of OpenTelemetry's SDK is needed, and {type(provider).__name__} is none")
    return provider


@attrs.define(eq=False)
class _Sampled:
    """A sampling result. That of OpenTelemetry's SDK wraps the attributes, and each span takes longer to read them."""

    decision: Decision
    attributes: Attributes
    trace_state: TraceState | None


@attrs.frozen(eq=False)
class Sampled:
    """Samples every span: it is decided once for the whole invocation, before any span is made."""

    _decision: Decision
    _state: TraceState | None

    def should_sample(
        self,
        parent_context: otel_context.Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        *_: object,
    ) -> _Sampled:
        del parent_context, trace_id, name, kind
        return _Sampled(self._decision, attributes, self._state)


def private_tracer(tracer: trace.Tracer, trace_id: int, state: TraceState | None = None) -> tuple[trace.Tracer, Ids]:
    """Return a copy of a tracer of OpenTelemetry's SDK for one trace, which records every span, and its ids.

    The provider's own tracer, which the application may use too, is left as it is.
    """
    from opentelemetry.sdk.trace.sampling import Decision

    own: Any = copy(tracer)
    own.id_generator = ids = Ids(own.id_generator, trace_id)
    own.sampler = Sampled(Decision.RECORD_AND_SAMPLE, state)
    return own, ids


class Placeholder(NonRecordingSpan):
    """Stands for a span that is exported later, or by another invocation, as the parent of others."""

    def __init__(self, context: SpanContext, name: str, attributes: Mapping[str, str | int]) -> None:
        super().__init__(context)
        self.name = name
        self.kind = SpanKind.INTERNAL
        self.attributes = attributes
        self.status = _UNSET


@attrs.define(eq=False)
class Ticks:
    """Nanoseconds of a clock that never shows a time twice and never goes back."""

    clock: Callable[[], float]
    _last: int = 0

    def now(self) -> int:
        moment, earliest = int(self.clock() * 1e9), self._last + _MICROSECOND
        self._last = max(moment, earliest)
        return self._last


@attrs.frozen(eq=False)
class Traced:
    """The trace of an execution, as one of its invocations sees it.

    :ivar around: the span that was current before the invocation, if it is in this trace
    :ivar has_anchor: the caller gave no span to hang the trace on, and the execution makes one up
    """

    arn: str
    trace_id: int
    sampled: bool
    state: TraceState
    ancestor: Span
    around: Span | None
    has_anchor: bool
    started: int

    def context(self, span_id: int) -> SpanContext:
        flags = _SAMPLED if self.sampled else _NOT_SAMPLED
        return SpanContext(self.trace_id, span_id, is_remote=False, trace_flags=flags, trace_state=self.state)


def find_trace(info: InvocationStartInfo, started: datetime, remote: Remote, provider: TracerProvider) -> Traced:
    """Return the trace of an invocation. Whether it is recorded, the caller decides, else the sampler of ``provider``.

    :param started: when the execution started
    """
    current = trace.get_current_span()
    here = current.get_span_context()
    trace_id = remote.trace_id or trace_id_of(info.execution_arn, started)
    around = current if here.is_valid and here.trace_id == trace_id else None
    state = here.trace_state if around is not None else TraceState()
    sampled = remote.sampled
    if sampled is None:
        sampled = here.trace_flags.sampled if around is not None else is_sampled(provider, trace_id, "Workflow")
    parent = remote.span_id if remote.trace_id is not None else None
    ancestor = SpanContext(
        trace_id,
        parent or anchor_id(info.execution_arn),
        is_remote=parent is not None,
        trace_flags=TraceFlags(int(sampled)),
        trace_state=state,
    )
    return Traced(
        arn=info.execution_arn,
        trace_id=trace_id,
        sampled=sampled,
        state=state,
        ancestor=NonRecordingSpan(ancestor),
        around=around,
        has_anchor=parent is None,
        started=nanoseconds(started),
    )


def is_sampled(provider: TracerProvider, trace_id: int, name: str) -> bool:
    """Ask the provider's sampler about a trace that begins."""
    from opentelemetry.sdk.trace.sampling import Decision

    asked = provider.sampler.should_sample(otel_context.Context(), trace_id, name, SpanKind.INTERNAL)
    return asked.decision is Decision.RECORD_AND_SAMPLE


@attrs.frozen(eq=False)
class Spans:
    """Makes the spans of one invocation."""

    traced: Traced
    ticks: Ticks
    _tracer: trace.Tracer
    _ids: Ids

    @classmethod
    def of(cls, tracer: trace.Tracer, traced: Traced, ticks: Ticks) -> Spans:
        return cls(traced, ticks, *private_tracer(tracer, traced.trace_id, traced.state))

    def start(
        self,
        name: str,
        parent: Span,
        attributes: Mapping[str, str | int],
        *,
        span_id: int | None = None,
        links: Sequence[Link] = (),
        at: int | None = None,
    ) -> Span:
        """Begin a span.

        :param parent: ``INVALID_SPAN``: it is the root of the trace
        :param attributes: all that are known now, with :data:`ARN`
        :param span_id: None: a random one
        :param at: in nanoseconds; None: now
        """
        self._ids.span_id = span_id
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(
            name, context, SpanKind.INTERNAL, attributes, links, self.ticks.now() if at is None else at
        )

    def anchor(self) -> None:
        """Export the root of a trace that no caller gave one. Each invocation does: an earlier one may be lost."""
        started = self.traced.started
        synthetic: dict[str, str | int] = {ARN: self.traced.arn, "durable.execution.synthetic_root": True}
        root = self.traced.ancestor.get_span_context().span_id
        self.start(ROOT, trace.INVALID_SPAN, synthetic, span_id=root, at=started).end(started)


def operation_attributes(info: OperationInfo) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        ARN: info.execution_arn,
        "durable.operation.id": info.operation_id,
        "durable.operation.type": info.operation_type,
    }
    if info.sub_type is not None:
        attributes["durable.operation.subtype"] = info.sub_type
    if info.name is not None:
        attributes["durable.operation.name"] = info.name
    return attributes


def name_of(info: OperationInfo) -> str:
    return info.name or info.sub_type or info.operation_type


def says_something(error: BaseException | None) -> TypeGuard[BaseException]:
    """Return whether there is an error to show: a callback may fail with nothing to say."""
    if not isinstance(error, OperationError):
        return error is not None
    return bool(error.message or error.error_type or error.data or error.stack_trace)


def record_error(span: Span, error: BaseException, at: int, *, with_event: bool = True) -> None:
    message = message_of(error)
    span.set_status(Status(StatusCode.ERROR, message))
    if with_event:
        kind, stack = _described(error)
        details = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
        span.add_event("exception", details, at)


def _described(error: BaseException) -> tuple[str, str]:
    if isinstance(error, OperationError):
        return error.error_type or type_name(type(error)), "\n".join(error.stack_trace)
    return type_name(type(error)), "".join(trace_of(error))


def nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * _MICROSECOND
