"""The operation with which a service of this package asks a workflow to end.

The service starts it, with the reason as its state. The SDK ends it, with the id of the operation at which the workflow
got the cancellation: in a replay the workflow gets it there again. A service that does not know the operation never
starts it.
"""

from __future__ import annotations

import json
from typing import Final, cast

from durable_async._wire.text import JsonObject

CANCELLATION: Final = "cancellation"
"""The id and the name of the operation. No other operation has such an id: the others are hashes."""

ERROR_TYPE: Final = "durable_async.errors.ExecutionCancelledError"


def requested(reason: str | None) -> str:
    """Return the state of the operation until it has ended."""
    return json.dumps({"Reason": reason})


def delivered(reason: str | None, operation_id: str) -> str:
    """Return the result of the operation.

    :param operation_id: the operation at which the workflow got the cancellation
    """
    return json.dumps({"Reason": reason, "At": operation_id})


def read(text: str | None) -> tuple[str | None, str | None]:
    """Return the reason, and the id of the operation at which the workflow got the cancellation; None: not yet.

    Both are None if neither :func:`requested` nor :func:`delivered` wrote the text, because another SDK did.
    """
    try:
        members = json.loads(text or "{}")
    except ValueError:
        return None, None
    if not isinstance(members, dict):
        return None, None
    known = cast("JsonObject", members)
    reason, operation_id = known.get("Reason"), known.get("At")
    return reason if isinstance(reason, str) else None, operation_id if isinstance(operation_id, str) else None
