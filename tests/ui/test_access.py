"""Who may see the page and use it, and what its answers contain: over real HTTP, without a browser."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from durable_async import ui
from durable_async.embedded import DurableService
from durable_async.service.http import bind, serve
from durable_async.service.http.access import Access
from durable_async.service.http.dispatch import Dispatcher
from durable_async.service.http.server import serve_answers
from durable_async.ui.page import Home, WebPage, beside
from tests.service.http.http_support import served_by_uvicorn

from .workflows import HANDLERS

PAGE = {"X-Amz-Durable-Async": "page"}
BROWSER = {"User-Agent": "Mozilla/5.0"}


@contextlib.asynccontextmanager
async def served(*, token: str | None = None, authenticated: bool = False) -> AsyncIterator[tuple[str, DurableService]]:
    async with DurableService() as service:
        service.register(HANDLERS["gated"])
        access = Access.checked(token, authenticated=authenticated)
        page = WebPage(Dispatcher(service.api, Access(authenticated=True)).answer, access, Home("a test"))
        border = Dispatcher(service.api, access)
        async with serve_answers(beside(page, "/ui", border.answer), bind()) as url:
            yield url, service


async def status(method: str, url: str, **options):
    async with ClientSession() as session, session.request(method, url, **options) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("path", ["/", "/app.js", "/app.css", "/icon.svg", "/about", "/nothing"])
async def test_every_answer_forbids_what_the_page_does_not_need(path):
    async with (
        served() as (url, _),
        ClientSession() as session,
        session.get(f"{url}/ui{path}", headers=PAGE) as response,
    ):
        policy = dict(
            rule.strip().partition(" ")[::2] for rule in response.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_has_no_inline_script_and_nothing_of_others():
    async with served() as (url, _), ClientSession() as session, session.get(f"{url}/ui/") as response:
        text = await response.text()
    assert "<script>" not in text
    assert "://" not in text.replace("http://www.w3.org", "")
    assert "style=" not in text


async def test_the_address_without_its_slash_leads_to_the_page():
    async with served() as (url, _), ClientSession() as session, session.get(f"{url}/ui") as response:
        assert str(response.url) == f"{url}/ui/" and response.status == 200


async def test_files_are_small_compressed_and_known_by_their_tag():
    async with served() as (url, _), ClientSession(auto_decompress=False) as session:
        sent = 0
        for name in ("", "app.js", "app.css", "icon.svg"):
            async with session.get(f"{url}/ui/{name}", headers={"Accept-Encoding": "gzip"}) as response:
                sent += len(await response.read())
                tag = response.headers["ETag"]
            async with session.get(f"{url}/ui/{name}", headers={"If-None-Match": tag}) as response:
                assert response.status == 304
    assert sent < 150 * 1024


async def test_without_a_token_only_a_page_of_this_origin_on_this_machine_is_answered():
    async with served() as (url, _):
        about = f"{url}/ui/about"
        assert await status("GET", about, headers={**BROWSER, **PAGE}) == 200
        assert await status("GET", about, headers={**BROWSER, "Sec-Fetch-Site": "same-origin"}) == 200
        assert await status("GET", about, headers={**BROWSER, "Sec-Fetch-Site": "cross-site"}) == 403
        assert await status("GET", about, headers={**PAGE, "Origin": "http://evil.example"}) == 403
        assert await status("GET", about, headers={**PAGE, "Host": "evil.example"}) == 403
        assert await status("GET", f"{url}/ui/", headers={"Host": "evil.example"}) == 403
        assert await status("GET", f"{url}/ui/", headers={**BROWSER, "Sec-Fetch-Site": "none"}) == 200


async def test_a_token_becomes_a_cookie_for_the_page_alone():
    async with served(token="s3cret") as (url, _), ClientSession() as session:
        about = f"{url}/ui/about"
        assert await status("GET", f"{url}/ui/") == 200
        assert await status("GET", about, headers=PAGE) == 401
        assert await status("POST", f"{url}/ui/session", headers=PAGE, json={"token": "s3cre"}) == 401
        async with session.post(
            f"{url}/ui/session", headers=PAGE, json={"token": "s3cret", "secure": False}
        ) as response:
            assert response.status == 204
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "s3cret" not in cookie
        cookies = {"Cookie": cookie.partition(";")[0]}
        assert await status("GET", about, headers={**PAGE, **cookies}) == 200
        assert await status("GET", about, headers={**BROWSER, **cookies}) == 403
        assert await status("GET", about, headers={**PAGE, **cookies, "Origin": "http://evil.example"}) == 403
        # The cookie is no token of the API.
        assert await status("GET", f"{url}/2015-03-31/functions/", headers={**PAGE, **cookies}) == 403


async def test_another_page_cannot_sign_a_browser_in():
    async with served(token="s3cret") as (url, _):
        headers = {**BROWSER, "Origin": "http://evil.example"}
        assert await status("POST", f"{url}/ui/session", headers=headers, json={"token": "s3cret"}) == 403


async def test_the_page_cannot_invoke_functions_or_write_checkpoints():
    async with served() as (url, service):
        api = f"{url}/ui/api"
        invoke = f"{api}/2015-03-31/functions/gated:%24LATEST/invocations"
        assert await status("POST", invoke, headers=PAGE, data=b"{}") == 404
        handle = await service.start(HANDLERS["gated"], {}, name="looked-at")
        execution = f"{api}/2025-12-01/durable-executions/{handle.arn.replace('/', '%2F')}"
        assert await status("GET", execution, headers=PAGE) == 200
        assert await status("POST", f"{execution}/checkpoint", headers=PAGE, data=b"{}") == 404
        assert await status("GET", f"{execution}/state", headers=PAGE) == 404
        assert await status("POST", f"{execution}/fork", headers=BROWSER, data=b"{}") == 403
        assert await status("POST", f"{execution}/fork", headers=PAGE, data=b"{}") == 201


def test_nothing_of_the_page_is_loaded_or_served_unless_it_is_asked_for():
    script = (
        "import sys; from durable_async.cli import server, serve, run; from durable_async import service, embedded; "
    )
    script += "from durable_async.service import asgi_app; print([name for name in sys.modules if '.ui' in name])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


async def test_a_service_without_the_page_has_none():
    async with DurableService() as service, serve(service.api) as url:
        assert await status("GET", f"{url}/ui/") == 404


async def test_a_history_is_answered_when_there_is_news_and_its_last_page_has_a_marker():
    async with served() as (url, service), ClientSession(headers=PAGE) as session:
        handle = await service.start(HANDLERS["gated"], {}, name="awaited")
        history = f"{url}/ui/api/2025-12-01/durable-executions/{handle.arn.replace('/', '%2F')}/history"
        await service.api.idle()
        async with session.get(history, params={"WaitSeconds": "5", "MaxItems": "1000"}) as response:
            first = await response.json()
        waiting = asyncio.create_task(session.get(history, params={"WaitSeconds": "20", "Marker": first["NextMarker"]}))
        [callback] = [each for each in first["Events"] if each["EventType"] == "CallbackStarted"]
        await service.api.callback_succeeded(callback["CallbackStartedDetails"]["CallbackId"], b"null")
        async with asyncio.timeout(10), await waiting as response:
            news = await response.json()
        assert news["Events"][0]["EventType"] == "CallbackSucceeded"
        async with session.get(history, params={"WaitSeconds": "21"}) as response:
            assert response.status == 400


async def test_a_wait_for_news_ends_with_the_service():
    async with served() as (url, service), ClientSession(headers=PAGE) as session:
        handle = await service.start(HANDLERS["gated"], {}, name="left-waiting")
        await service.api.idle()
        history = f"{url}/ui/api/2025-12-01/durable-executions/{handle.arn.replace('/', '%2F')}/history"
        async with session.get(history, params={"WaitSeconds": "1"}) as response:
            marker = (await response.json())["NextMarker"]
        waiting = asyncio.create_task(session.get(history, params={"WaitSeconds": "20", "Marker": marker}))
        await asyncio.sleep(0.1)
        await service.api.aclose()
        async with asyncio.timeout(10), await waiting as response:
            assert response.status == 503


@pytest.mark.parametrize("mount", ["/ui", "/operations/executions"])
async def test_an_aiohttp_application_mounts_the_page(mount):
    async with DurableService() as service:
        service.register(HANDLERS["gated"])
        app = web.Application()
        app.add_subapp(mount, ui.aiohttp_app(service.api, authenticated=True))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}{mount}"
            assert await status("GET", f"{url}/") == 200
            assert await status("GET", f"{url}/app.js") == 200
            assert await status("GET", f"{url}/about", headers=PAGE) == 200
            assert await status("GET", f"{url}/about", headers=BROWSER) == 403
            assert await status("GET", f"{url}/api/2015-03-31/functions/", headers=PAGE) == 200
        finally:
            await runner.cleanup()


async def test_an_asgi_application_mounts_the_page():
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with DurableService() as service:
        service.register(HANDLERS["gated"])
        app = Starlette(routes=[Mount("/executions", ui.asgi_app(service.api, authenticated=True))])
        async with served_by_uvicorn(app, lifespan="on") as url, ClientSession() as session:
            async with session.get(f"{url}/executions") as response:
                assert response.status == 200 and str(response.url).endswith("/executions/")
            async with session.get(f"{url}/executions/api/2015-03-31/functions/", headers=PAGE) as response:
                assert "gated" in json.dumps(await response.json())


async def test_authentication_and_a_token_exclude_each_other():
    async with DurableService() as service:
        with pytest.raises(ValueError, match="give one of both"):
            ui.asgi_app(service.api, token="t", authenticated=True)
