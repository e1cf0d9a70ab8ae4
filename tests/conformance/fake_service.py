"""A service that plays back a script, so that the runner's own behaviour can be tested where no service would err."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

ARN = "arn:aws:lambda:us-east-1:123456789012:function:1-1:$LATEST/durable-execution/name/id"


@attrs.define
class Script:
    """One execution, as it looks at each successive reading; the last reading stays.

    Requests are kept as ``(path, body)``.
    """

    readings: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
    result: str | None = None
    requests: list[tuple[str, str]] = attrs.field(factory=list)
    _read: int = 0

    def answer(self, path: str, query: Mapping[str, list[str]], body: str) -> Mapping[str, Any]:
        self.requests.append((path, body))
        status, events = self.readings[min(self._read, len(self.readings) - 1)]
        if path.endswith("/history"):
            start, size = int(query.get("Marker", ["0"])[0]), int(query["MaxItems"][0])
            page = {"Events": [*events[start : start + size]]}
            if start + size < len(events):
                return {**page, "NextMarker": str(start + size)}
            self._read += 1
            return page
        if path.startswith("/2025-12-01/durable-executions/"):
            described = {
                "DurableExecutionArn": ARN,
                "DurableExecutionName": "name",
                "FunctionArn": ARN,
                "Status": status,
            }
            return {**described, "StartTimestamp": 0, **({} if self.result is None else {"Result": self.result})}
        return {}


@contextmanager
def playing(script: Script) -> Iterator[str]:
    """The URL at which a script is played."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            answer = json.dumps(script.answer(url.path, parse_qs(url.query), body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            if url.path.endswith("/invocations"):
                self.send_header("X-Amz-Durable-Execution-Arn", ARN)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
