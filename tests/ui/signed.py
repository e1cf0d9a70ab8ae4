"""A stand-in for AWS: it checks each request's signature, knows only AWS's operations, and hands the rest on."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from aiohttp import ClientSession, web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

KEY, SECRET, REGION = "AKIDEXAMPLE", "not-for-the-browser", "eu-central-1"
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\S+?)/\d+/(\S+?)/lambda/aws4_request, SignedHeaders=(\S+?), Signature=(\w+)"
)
_NOT_OF_AWS = re.compile(r"/(cancel|redrive|callbacks)$|/durable-executions/?$|/durable-execution-counts$")


@contextmanager
def stand_in(service: str) -> Generator[tuple[str, list[str]]]:
    """Serve in a thread of its own. The value is the URL, and what the page's command asked for.

    :param service: the URL of the service that has the executions
    """
    ready, seen = threading.Event(), []
    loop, url = asyncio.new_event_loop(), []

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", partial(_answer, service, seen))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await ended.wait()
        await runner.cleanup()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield url[0], seen
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _answer(service: str, seen: list[str], request: web.Request) -> web.Response:
    body = await request.read()
    if not _is_signed(request, body):
        seen.append("without a signature")
        return web.json_response({"Message": "The signature does not match."}, status=403)
    path = request.rel_url.raw_path
    seen.append(f"{request.method} {path}")
    if _NOT_OF_AWS.search(path) and "functions" not in path:
        return web.json_response({"Message": "Unknown operation"}, status=404)
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    headers = {"Content-Type": "application/json", "User-Agent": "the stand-in"}
    url = URL(f"{service}{path}{query}", encoded=True)
    async with ClientSession() as session, session.request(request.method, url, data=body, headers=headers) as given:
        kept = {name: value for name, value in given.headers.items() if name.lower() == "x-amzn-errortype"}
        return web.Response(status=given.status, body=await given.read(), headers=kept, content_type="application/json")


def _is_signed(request: web.Request, body: bytes) -> bool:
    found = _SIGNATURE.match(request.headers.get("Authorization", ""))
    if found is None or found[1] != KEY or found[2] != REGION:
        return False
    signed = {name: request.headers[name] for name in found[3].split(";")}
    again = AWSRequest(request.method, str(request.url), signed, body)
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    auth: Any = SigV4Auth(Credentials(KEY, SECRET), "lambda", REGION)
    text = auth.string_to_sign(again, auth.canonical_request(again))
    return auth.signature(text, again) == found[4]
