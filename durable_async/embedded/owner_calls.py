"""The calls of an embedded service that stands by, to the service that has the file."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlencode

from durable_async._wire.text import JsonObject
from durable_async.client.calls import Calls
from durable_async.client.model import LAMBDA_MODEL
from durable_async.errors import ServiceCallError
from durable_async.service.http.owner import ask_owner
from durable_async.service.runtime.views import OwnerAddress


class OwnerCalls(Calls):
    """Calls the service that has the file over its socket. botocore writes the requests and reads the answers."""

    def __init__(self, owner: OwnerAddress) -> None:
        super().__init__(owner.socket)
        self._owner = owner

    async def _send(self, operation: str, parameters: JsonObject) -> JsonObject:
        model, serializer, parser, as_headers = _protocol()
        described = model.operation_model(operation)
        request = serializer.serialize_to_request(parameters, described)
        query = urlencode(request["query_string"], doseq=True)
        target = request["url_path"] + (f"?{query}" if query else "")
        body: str | bytes = request["body"] or b""
        answer = await ask_owner(
            self._owner,
            request["method"],
            target,
            request["headers"],
            body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body,
        )
        response = {"status_code": answer.status, "headers": as_headers(answer.headers), "body": answer.body}
        read: JsonObject = parser.parse(response, described.output_shape)
        if answer.status >= 300:
            error = read["Error"]
            raise ServiceCallError(operation, error.get("Message", ""), error.get("Code"), answer.status)
        return read


@cache
def _protocol() -> tuple[Any, Any, Any, Any]:
    """Return the model of the API, and what writes its requests and reads its answers."""
    from botocore.awsrequest import HeadersDict  # type: ignore[import-untyped]
    from botocore.model import ServiceModel  # type: ignore[import-untyped]
    from botocore.parsers import create_parser  # type: ignore[import-untyped]
    from botocore.serialize import create_serializer  # type: ignore[import-untyped]

    return (
        ServiceModel(LAMBDA_MODEL, "lambda"),
        create_serializer("rest-json", include_validation=False),
        create_parser("rest-json"),
        HeadersDict,
    )
