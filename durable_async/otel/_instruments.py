"""The instruments that handlers and services have in common. No attribute holds an id, an ARN or a name."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.metrics import Meter

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86_400, 604_800]
"""Bounds of the histograms: an operation may take milliseconds or days."""


class Instruments:
    """Measures executions, invocations and operations with one meter."""

    def __init__(self, meter: Meter) -> None:
        create = meter.create_histogram
        self._execution = create(
            "durable.execution.duration",
            "s",
            "From the start of an execution to its end",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._invocation = create(
            "durable.invocation.duration",
            "s",
            "How long a handler ran",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._operation = create(
            "durable.operation.duration",
            "s",
            "From the recorded start of an operation to its end, suspensions included",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._retries = meter.create_counter("durable.operation.retries", "{retry}", "Further attempts and checks")

    def execution(self, seconds: float, status: str, error_type: str | None) -> None:
        self._execution.record(max(0.0, seconds), known({"durable.execution.status": status, "error.type": error_type}))

    def invocation(
        self,
        seconds: float,
        *,
        status: str | None = None,
        first: bool | None = None,
        error_type: str | None = None,
    ) -> None:
        attributes = {"durable.invocation.status": status, "durable.invocation.first": first, "error.type": error_type}
        self._invocation.record(max(0.0, seconds), known(attributes))

    def operation(self, seconds: float, kind: str, sub_type: str | None, status: str, error_type: str | None) -> None:
        attributes = {
            "durable.operation.type": kind,
            "durable.operation.subtype": sub_type,
            "durable.operation.status": status,
            "error.type": error_type,
        }
        self._operation.record(max(0.0, seconds), known(attributes))

    def retry(self, sub_type: str | None, error_type: str | None) -> None:
        self._retries.add(1, known({"durable.operation.subtype": sub_type, "error.type": error_type}))


def known(attributes: Mapping[str, str | bool | None]) -> dict[str, str | bool]:
    return {key: value for key, value in attributes.items() if value is not None}
