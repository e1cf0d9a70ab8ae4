"""The functions that the cases describe, one module a suite. ``HANDLERS`` has those of the built suites."""

from importlib import import_module

from tests.conformance.suites import HANDLER_MODULES

HANDLERS = {
    name: handler
    for suite in HANDLER_MODULES
    for name, handler in import_module(f".{suite}", __name__).HANDLERS.items()
}
