"""Where the handlers are, why a case is skipped, and where a handler departs from its case. The one list of each."""

HANDLER_MODULES: tuple[str, ...] = (
    "step",
    "wait",
    "child",
    "callback",
    "invoke",
    "wait_for_condition",
    "wait_for_callback",
    "parallel",
    "map",
    "plugin",
    "otel",
)
"""The modules with handlers. The one named ``otel`` has those of all OTel suites."""

NO_HANDLER = "no handler is written for it yet"
"""Why a case is skipped that was published later than the handlers."""

DEPARTURES: dict[str, str] = {
    "1-13": "1-13 asks for RetryStrategy.default(), because a step without a strategy is attempted once",
}
"""Cases, by id, whose handler differs from the published description in one point."""
