"""Serves the functions of a module as Lambda would: ``python handler_server.py PORT MODULE``.

``POST /2015-03-31/functions/NAME/invocations`` calls ``NAME(event, context)``; each request has a thread.
"""

import json
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from types import SimpleNamespace
from urllib.parse import unquote


class Runtime(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        name = unquote(self.path.split("/")[3])
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        context = SimpleNamespace(
            aws_request_id=self.headers["X-Amzn-RequestId"],
            function_name=name,
            function_version="$LATEST",
            invoked_function_arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}:$LATEST",
            tenant_id=None,
            get_remaining_time_in_millis=lambda: 900_000,
        )
        try:
            answer = json.dumps(getattr(self.server.functions, name)(event, context))
        except Exception as error:
            traceback.print_exc()
            self.answer(json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}), failed=True)
        else:
            self.answer(answer)

    def answer(self, text, failed=False):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if failed:
            self.send_header("X-Amz-Function-Error", "Unhandled")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Runtime)
    server.functions = import_module(sys.argv[2])
    server.serve_forever()
