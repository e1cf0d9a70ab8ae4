"""An OTLP/HTTP receiver in a process of its own: ``python -m tests.otlp_receiver FILE`` appends one JSON line a span.

It prints its URL when it accepts connections. A span is in the file before the exporter gets its answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[1]
_STATUSES = ("UNSET", "OK", "ERROR")
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@contextmanager
def receiving(file: Path) -> Iterator[str]:
    """Run a receiver that appends to ``file``, and yield its URL."""
    command = [sys.executable, "-m", "tests.otlp_receiver", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def spans_in(file: Path) -> list[dict[str, Any]]:
    """Return what came so far. A line that is still being written is left out."""
    lines = (json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return [line for line in lines if "span_id" in line]


def _spans(body: bytes) -> Iterator[dict[str, Any]]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield {
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_span_id": span.parent_span_id.hex() or None,
                "name": span.name,
                "kind": _KINDS[span.kind],
                "status": _STATUSES[span.status.code],
                "message": span.status.message,
                "service_name": service,
                "start_time": span.start_time_unix_nano,
                "end_time": span.end_time_unix_nano,
                "attributes": _attributes(span.attributes),
                "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
                "events": [{"name": event.name, "attributes": _attributes(event.attributes)} for event in span.events],
            }


def _metrics(body: bytes) -> Iterator[dict[str, Any]]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        yield from (MessageToDict(metric) for scope in resource.scope_metrics for metric in scope.metrics)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        found = _spans(body) if self.path.endswith("/v1/traces") else _metrics(body)
        with Path(sys.argv[1]).open("a") as file:
            file.write("".join(json.dumps(each) + "\n" for each in found))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
