"""The page that shows executions: a few static files, and Lambda's API for them.

:func:`asgi_app` and :func:`aiohttp_app` are for applications that mount the page; ``durable-async ui`` and
``durable-async serve --ui`` serve it themselves. Nothing of this package is imported unless it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async.service.http.access import Access
from durable_async.service.http.asgi import AsgiApp, build_asgi_app
from durable_async.service.http.dispatch import Dispatcher
from durable_async.service.runtime.api import LambdaApi
from durable_async.ui.page import Home, WebPage

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["aiohttp_app", "asgi_app"]


def asgi_app(api: LambdaApi, *, token: str | None = None, authenticated: bool = False) -> AsgiApp:
    """Return the page as an ASGI 3 application, to be mounted below a path of another one:

        app.mount("/durable/ui", ui.asgi_app(service.api, authenticated=True))

    :param token: the page asks each user for it once. None: only browsers on this machine see executions
    :param authenticated: True: the application around this one has decided who may see the page and may use its
        buttons. False: what ``token`` says
    :raises ValueError: the token is malformed, or it is given with ``authenticated=True``
    """
    return build_asgi_app(_page(api, token, authenticated=authenticated).answer)


def aiohttp_app(api: LambdaApi, *, token: str | None = None, authenticated: bool = False) -> web.Application:
    """Return the page as an aiohttp application: ``app.add_subapp("/durable/ui/", ui.aiohttp_app(service.api))``.

    The parameters are those of :func:`asgi_app`.
    """
    from durable_async.service.http.app import build_app

    return build_app(_page(api, token, authenticated=authenticated).answer)


def _page(api: LambdaApi, token: str | None, *, authenticated: bool) -> WebPage:
    access = Access.checked(token, authenticated=authenticated)
    return WebPage(Dispatcher(api, Access(authenticated=True)).answer, access, Home("this service"))
