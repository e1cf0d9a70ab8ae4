"""The Lambda API over HTTP, on aiohttp: paths, shapes and headers to calls of the service. It knows no rule.

Source: section 3 of the protocol reference; what botocore's ``lambda`` model sends and reads.
"""

from durable_async.service.http.app import build_app
from durable_async.service.http.server import bind, serve, serve_on, url_of

__all__ = ["bind", "build_app", "serve", "serve_on", "url_of"]
