"""How long everybody else waits while a server reads a body that was made to be expensive.

    python -m benchmarks.hostile_bodies

The caller is another process. A task of the server's event loop asks for a turn every millisecond, and the longest time
without one is printed; compare it with the row of nothing.
"""

import asyncio
import sys
import time

from durable_async.service.functions.base import InProcessFunction
from durable_async.service.http import serve
from durable_async.service.runtime.api import LambdaApi

SIZE = 6 * 1024 * 1024 - 1024
PATHS = {
    "Invoke": "/2015-03-31/functions/f:$LATEST/invocations",
    "checkpoint": "/2025-12-01/durable-executions/x/checkpoint",
}
BODIES = {
    "nothing": b"",
    "opened, not closed": b"[" * SIZE,
    "199 deep, many times": b"[" + (b"[" * 198 + b"]" * 198 + b",") * (SIZE // 397) + b"0]",
    "interleaved": b"[" + b'{"a":[{}]},' * (SIZE // 11) + b"0]",
    "closed wrongly": b"[{" * (SIZE // 4) + b"]}" * (SIZE // 4),
    "pairs": b"[" + b'["k",1],' * (SIZE // 8) + b"0]",
    "numbers": b"[" + b"1.5," * (SIZE // 4) + b"0]",
    "one string": b'"' + b"x" * SIZE + b'"',
}
CALLER = """
import http.client, sys
from urllib.parse import urlsplit
from benchmarks.hostile_bodies import BODIES
connection = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)
connection.request("POST", sys.argv[2], BODIES[sys.argv[3]], {"X-Amz-Invocation-Type": "Event"})
print(connection.getresponse().status)
"""


async def main() -> None:
    async def function(_event: object, _request: object) -> object:
        return {"Status": "SUCCEEDED"}

    async with LambdaApi() as api:
        api.register("f", InProcessFunction(function, durable=True))
        async with serve(api) as url:
            for operation, path in PATHS.items():
                for name in BODIES:
                    status, seconds, stall = await measured(url, path, name)
                    print(f"{operation:10} {name:22} {status} after {seconds:6.2f} s, others waited {stall:6.1f} ms")


async def measured(url: str, path: str, name: str) -> tuple[str, float, float]:
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    begun = time.perf_counter()
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, url, path, name, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await caller.communicate()
    seconds = time.perf_counter() - begun
    ticking.cancel()
    return answer.decode().strip(), seconds, max(gaps) * 1000


if __name__ == "__main__":
    asyncio.run(main())
