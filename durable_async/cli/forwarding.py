"""Lambda's API for the page, answered by the service that a command was given.

The page's requests are read by the model in :mod:`durable_async.client.model` and sent by the
client of the commands, which signs them: the browser never has credentials.
"""

from __future__ import annotations

import base64
from typing import Final

import attrs

from durable_async._wire.text import JsonObject
from durable_async.cli.client import Client
from durable_async.client.model import LAMBDA_MODEL
from durable_async.errors import ServiceCallError
from durable_async.service.http import shapes
from durable_async.service.http.answer import Answer, UnknownOperationError, error_answer, json_answer
from durable_async.service.http.bodies import Bodies
from durable_async.service.http.dispatch import Request
from durable_async.service.http.routes import route
from durable_async.service.model.errors import ApiError
from durable_async.transport.base import NO_SERVICE

_BODY_BYTES = 1024 * 1024  # the largest answer to a callback is 256 KiB on AWS
_SHAPES: Final[JsonObject] = LAMBDA_MODEL["shapes"]


@attrs.frozen
class Forwarding:
    """Answers requests of Lambda's API by calls of ``client``."""

    client: Client
    bodies: Bodies = attrs.field(factory=Bodies)

    async def answer(self, request: Request) -> Answer:
        """Return the answer to a request. Every error becomes an answer too."""
        try:
            operation, parameters = await self._call_of(request)
            return json_answer(_as_json(await self.client.call(operation, **parameters)))
        except ServiceCallError as error:
            return _refused(error, self.client.place)
        except ApiError as error:
            return error_answer(error)

    async def _call_of(self, request: Request) -> tuple[str, JsonObject]:
        found = route(request.method, request.path)
        if found is None or str(found.operation) not in LAMBDA_MODEL["operations"]:
            raise UnknownOperationError(f"{request.method[:32]} {request.path[:256]} is nothing that the page has.")
        operation = str(found.operation)
        shape = _SHAPES[LAMBDA_MODEL["operations"][operation]["input"]["shape"]]
        parameters: JsonObject = {}
        query = shapes.query(request.query)
        for name, member in shape["members"].items():
            if member.get("location") == "uri":
                parameters[name] = found.parameter
            elif member.get("location") == "querystring":
                values = [value for given, value in query if given == member["locationName"]]
                if values:
                    parameters[name] = _value(member["shape"], values)
        if request.method == "POST":
            body = await self.bodies.read(request.chunks(), request.headers.get("content-length"), _BODY_BYTES)
            parameters |= {shape["payload"]: body} if "payload" in shape else _members(shape, body)
        return operation, parameters


def _members(shape: JsonObject, body: bytes) -> JsonObject:
    """Return the members of the body that the operation has."""
    given = shapes.members(body)
    return {name: given[name] for name in given if name in shape["members"]}


def _value(shape: str, values: list[str]) -> object:
    match _SHAPES[shape]["type"]:
        case "list":
            return values
        case "integer":
            return shapes.number({shape: values[-1]}, shape)
        case "boolean":
            return shapes.truth({shape: values[-1]}, shape, default=False)
        case "timestamp":
            return shapes.timestamp({shape: values[-1]}, shape)
        case _:
            return values[-1]


def _as_json(value: object) -> object:
    """Return an answer of the client as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _refused(error: ServiceCallError, place: str) -> Answer:
    if error.code == NO_SERVICE:  # something answered, but not as Lambda's API: it may not know the operation
        return _failed(501, error.message)
    if error.status is None:
        return _failed(502, f"{place} does not answer: {error.message}")
    code = {"x-amzn-ErrorType": error.code or "ServiceException"}
    return json_answer({"Message": error.message}, error.status).with_headers(code)


def _failed(status: int, message: str) -> Answer:
    return json_answer({"Message": message}, status).with_headers({"x-amzn-ErrorType": "UnreachableException"})
