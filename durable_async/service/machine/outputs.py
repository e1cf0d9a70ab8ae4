"""What a handler's answer says. An invalid one is a failure that says why.

Source: protocol.md, "Answer of the handler".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs

from durable_async.service.machine.limits import utf8_size
from durable_async.wire.operations import ErrorObject


@attrs.frozen
class Succeeded:
    result: str | None


@attrs.frozen
class Failed:
    error: ErrorObject | None


@attrs.frozen
class Pending:
    """The handler waits for something."""


def read_output(output: Any, most_bytes: int | None) -> Succeeded | Failed | Pending:
    """
    :param output: a JSON value
    :param most_bytes: of the result; None: no limit of the execution's own
    """
    if not isinstance(output, Mapping):
        return _invalid("Invalid invocation output: not a JSON object.")
    members = cast("Mapping[str, Any]", output)
    result, error = members.get("Result"), members.get("Error")
    if result is not None and not isinstance(result, str):
        return _invalid("Invalid invocation output: Result is not a string.")
    if error is not None and not isinstance(error, Mapping):
        return _invalid("Invalid invocation output: Error is not an object.")
    match members.get("Status"):
        case "SUCCEEDED" if error is not None:
            return _invalid("Cannot provide an Error for SUCCEEDED status.")
        case "SUCCEEDED" if most_bytes is not None and utf8_size(result or "") > most_bytes:
            message = f"Execution output payload size must be less than or equal to {most_bytes} bytes."
            return Failed({"ErrorMessage": message})
        case "SUCCEEDED":
            return Succeeded(result)
        case "FAILED" if result is not None:
            return _invalid("Cannot provide a Result for FAILED status.")
        case "FAILED":
            return Failed(cast("ErrorObject | None", error))
        case "PENDING":
            return Pending()
        case other:
            return _invalid(f"Invalid invocation output: unknown Status {other!r}.")


def invalid_answer(message: str) -> ErrorObject:
    return {"ErrorType": "InvalidParameterValueException", "ErrorMessage": message}


def _invalid(message: str) -> Failed:
    return Failed(invalid_answer(message))
