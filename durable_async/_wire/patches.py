"""The marker of a patch: a step that is recorded where an execution takes the new code of ``ctx.patched``."""

from __future__ import annotations

from typing import Final

from durable_async._wire.operations import Operation, OperationType

PREFIX: Final = "patched:"
"""Of the names of markers."""

PAYLOAD: Final = "true"
"""The result of the step."""


def marker_name(patch: str) -> str:
    """Return the name under which the marker of ``patch`` is recorded."""
    return f"{PREFIX}{patch}"


def is_marker(operation: Operation) -> bool:
    """Return whether ``operation`` is a marker. Code from which the patch was removed does not ask for it any more."""
    return operation["Type"] == OperationType.STEP and (operation.get("Name") or "").startswith(PREFIX)
