"""Lambda's API over HTTP. It reads requests, calls :class:`~durable_async.service.LambdaApi` and writes JSON.

:func:`serve` listens, with aiohttp; :func:`asgi_app` is for servers and applications that listen already.
:func:`execution_json` and :func:`event_json` write the values of the service in the shape of Lambda's API.

Source: protocol.md, "API", and what botocore's ``lambda`` model sends and reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async._lazy import names_from

if TYPE_CHECKING:
    from durable_async.service.http.asgi import asgi_app
    from durable_async.service.http.rendering import event_json, execution_json
    from durable_async.service.http.server import bind, serve, serve_on, url_of

__all__ = ["asgi_app", "bind", "event_json", "execution_json", "serve", "serve_on", "url_of"]

_LATER = {
    "asgi_app": "asgi",
    "bind": "server",
    "event_json": "rendering",
    "execution_json": "rendering",
    "serve": "server",
    "serve_on": "server",
    "url_of": "server",
}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
