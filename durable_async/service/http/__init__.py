"""Lambda's API over HTTP. It reads requests, calls :class:`~durable_async.service.LambdaApi` and writes JSON.

:func:`serve` listens, with aiohttp; :func:`asgi_app` is for servers and applications that listen already.
:func:`execution_json` and :func:`event_json` write the values of the service in the shape of Lambda's API.

Source: protocol.md, "API", and what botocore's ``lambda`` model sends and reads.
"""

from durable_async.service.http.asgi import asgi_app
from durable_async.service.http.rendering import event_json, execution_json
from durable_async.service.http.server import bind, serve, serve_on, url_of

__all__ = ["asgi_app", "bind", "event_json", "execution_json", "serve", "serve_on", "url_of"]
