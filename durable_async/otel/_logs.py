"""Puts the ids of trace and span into log records."""

from __future__ import annotations

import logging
from contextvars import ContextVar

import attrs
from opentelemetry import trace
from opentelemetry.trace import Span

from durable_async.logs import LOGGER_NAME


@attrs.frozen
class _Here:
    """An invocation.

    :ivar body: the span that is current in the workflow's own code: a placeholder, or the span of the handler's caller
    """

    invocation: Span
    body: Span


_here: ContextVar[_Here | None] = ContextVar("durable_async_otel_invocation", default=None)


class Correlation(logging.Filter):
    """Lets every record pass. Within an invocation it gets ``traceId``, ``spanId`` and ``otelTraceSampled``."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (here := _here.get()) is not None:
            span = trace.get_current_span()
            context = (here.invocation if span is here.body else span).get_span_context()
            if context.is_valid:
                record.traceId = f"{context.trace_id:032x}"
                record.spanId = f"{context.span_id:016x}"
                record.otelTraceSampled = context.trace_flags.sampled
        return True


_correlation = Correlation()


def uncorrelate() -> None:
    """Leave records that come after the invocation as they are."""
    _here.set(None)


def correlate(invocation: Span, body: Span) -> None:
    """Put the ids into records of the workflow's logger, and into all that the root logger's handlers get."""
    _here.set(_Here(invocation, body))
    for place in (logging.getLogger(LOGGER_NAME), *logging.getLogger().handlers):
        if _correlation not in place.filters:
            place.addFilter(_correlation)
