"""Functions behind Lambda's Invoke: ``POST /2015-03-31/functions/NAME/invocations``, as a runtime serves them."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from urllib.parse import quote

import attrs
from aiohttp import ClientError, ClientSession

from durable_async.service import InvocationFailed, InvocationRequest


@attrs.frozen
class RemoteFunction:
    """A :class:`durable_async.service.Function` that an HTTP server runs.

    :ivar name: of the function at that server; None: the name that it is invoked by
    """

    url: str
    session: ClientSession
    name: str | None = None
    durable: bool = True
    memory: None = None

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        name = quote(self.name or request.function_name, safe="")
        url = f"{self.url}/2015-03-31/functions/{name}/invocations"
        headers = {"Content-Type": "application/json", "X-Amzn-RequestId": request.request_id}
        body = BytesIO(json.dumps(event).encode())  # a file, for aiohttp warns of large bodies that are none
        try:
            async with self.session.post(url, data=body, headers=headers) as response:
                answer = json.loads(await response.read())
        except ClientError as error:
            raise InvocationFailed({"ErrorType": "Runtime.ExitError", "ErrorMessage": str(error)}) from error
        # The runtime interface emulator says neither by status nor by header that a function failed.
        if response.status >= 400 or "X-Amz-Function-Error" in response.headers or "errorType" in answer:
            raise InvocationFailed(
                {"ErrorType": answer.get("errorType", ""), "ErrorMessage": answer.get("errorMessage", "")}
            )
        return answer
