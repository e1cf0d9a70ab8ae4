"""The executions of a service elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from durable_async._client_per_loop import ClientPerLoop, OwnsConnections
from durable_async.client.calls import HttpCalls, Polling
from durable_async.client.connection import Endpoint
from durable_async.client.executions import Executions, check_durable
from durable_async.client.remote import RemoteApi
from durable_async.handler import AnyHandler

_NONE: Mapping[AnyHandler, str] = MappingProxyType({})


class DurableClient(OwnsConnections, Executions):
    """Starts and follows executions of a service elsewhere, with the methods and handles of ``DurableService``:

        async with DurableClient("http://127.0.0.1:8700") as client:
            execution = await client.start(fulfil, order, name="order-1017")
            receipt = await execution.result()

    The service is one of this package, or AWS Lambda. Waiting, as ``result`` and ``events`` do, is long polling on a
    service of this package, and polling at growing intervals of up to 5 seconds on another one. AWS Lambda has no
    ``cancel``, no ``redrive`` and no ``fork``.

    A client makes no call before its first method is awaited. It works on every event loop, with connections that are
    closed at the end of ``async with``, or with the loop. A call that gets no answer, or is refused because the service
    has too much to do, is repeated up to 3 times.

    A method raises :class:`~durable_async.service.ApiError` if the service refuses, as with ``DurableService``. It
    raises :class:`~durable_async.ServiceCallError` if no answer comes or no request can be made, and if an answer was
    lost and the repeated request is refused: then what was asked may have been done.

    :param endpoint_url: with ``http`` or ``https``; another one raises a ``ValueError``. None:
        ``AWS_ENDPOINT_URL_LAMBDA``, ``AWS_ENDPOINT_URL``, then AWS Lambda
    :param functions: the names or ARNs under which handlers are deployed, with a version or alias if ``$LATEST`` is not
        meant. A handler that is not among them is called by its ``__name__``
    :param token: the token that a service of this package requires. None: calls are signed with AWS credentials, except
        those to a service on this machine, if neither the environment, ``profile`` nor ``session`` has any
    :param region: None: ``AWS_REGION``, then the AWS configuration. A service with an ``endpoint_url`` accepts any
    :param profile: of the AWS configuration; None: the environment's
    :param session: an aiobotocore session whose credentials are used; None: those of the AWS configuration
    :param config: a botocore ``Config``, which overrides this client's own, for example ``retries``
    :param polling: how long a request may wait for news, and how often a service is asked that does not wait
    """

    def __init__(
        self,
        endpoint_url: str | None = None,
        *,
        functions: Mapping[AnyHandler, str] = _NONE,
        token: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        session: object = None,
        config: object = None,
        polling: Polling = Polling(),  # noqa: B008 - frozen
    ) -> None:
        variables = ("AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL")
        url = endpoint_url or next(filter(None, map(os.environ.get, variables)), None)
        endpoint = Endpoint(url, token, region, profile, session, config)
        self._clients = ClientPerLoop(endpoint.clients)
        self._remote = RemoteApi(HttpCalls(self._clients, str(endpoint), on_aws=url is None, polling=polling))
        self._functions = dict(functions)

    def _api(self) -> RemoteApi:
        return self._remote

    def _place_of(self, function: AnyHandler | str) -> tuple[str, int | None]:
        if isinstance(function, str):
            return function, None
        check_durable(function)
        return self._functions.get(function) or str(getattr(function, "__name__", "")), None
