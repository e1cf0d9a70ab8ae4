"""The Lambda API over HTTP: paths, shapes and headers to calls of the service. It knows no rule.

:func:`serve` listens, with aiohttp; :func:`asgi_app` is for servers and applications that do so already. Source:
protocol.md, "API", and what botocore's ``lambda`` model sends and reads.
"""

from durable_async.service.http.asgi import asgi_app
from durable_async.service.http.server import bind, serve, serve_on, url_of

__all__ = ["asgi_app", "bind", "serve", "serve_on", "url_of"]
