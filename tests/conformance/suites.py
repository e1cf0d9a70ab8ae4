"""Which suites run, and why the others don't. The one list of both."""

BUILT_SUITES: tuple[str, ...] = ("step", "wait")
"""Suites whose handlers the SDK can run today."""

NOT_BUILT_YET = "not built yet"
NO_SPANS = "spans are not compared yet"

SKIPPED_SUITES: dict[str, str] = {
    "child": NOT_BUILT_YET,
    "callback": NOT_BUILT_YET,
    "invoke": NOT_BUILT_YET,
    "wait_for_condition": NOT_BUILT_YET,
    "wait_for_callback": NOT_BUILT_YET,
    "parallel": NOT_BUILT_YET,
    "map": NOT_BUILT_YET,
    "plugin": NOT_BUILT_YET,
    "otel-invocation": NO_SPANS,
    "otel-execution": NO_SPANS,
    "otel-long-running": NO_SPANS,
}
