"""What the transport alone costs: the yardstick of the other benchmarks.

    python benchmarks/transport.py [CALLS]

prints wall and CPU time of one checkpoint call, with 1 update and with 100, for aiobotocore as it comes, for
``AwsClient``, and for a signed aiohttp request with JSON at both ends. The service is a stub in another process; the
contenders take turns, so that a busy machine disturbs all alike. Compare within one run.

``floor_steps`` is the least that sequential steps can cost with aiobotocore: the calls, and nothing around them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from urllib.parse import quote

import aiohttp
import attrs
from aiobotocore.session import get_session
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from durable_async._wire.ids import operation_id
from durable_async.transport.aws import AwsClient

ARN = "arn:aws:lambda:us-east-1:123456789012:function:floor:$LATEST/durable-execution/name/1"
TOKEN = "dG9rZW4="
TURN = 20  # calls in a row before the next contender's turn


@attrs.frozen
class Spent:
    """Seconds of this process."""

    wall: float
    cpu: float


@contextmanager
def stopwatch(spent: list[Spent]):
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))


def plain_client(endpoint_url: str):
    """aiobotocore as it comes, as an asynchronous context manager."""
    return get_session().create_client("lambda", region_name="us-east-1", endpoint_url=endpoint_url)


async def floor_steps(
    endpoint_url: str, execution_arn: str, token: str, steps: int, payload: str = "null"
) -> tuple[Spent, str]:
    """Record ``steps`` steps, START and SUCCEED in one call each, with aiobotocore as it comes.

    :param token: the first; one empty checkpoint is made before the clock starts, to open the connection
    :param payload: each step's result, as JSON
    :return: what the steps took together, and the token that is valid now
    """
    spent: list[Spent] = []
    async with plain_client(endpoint_url) as client:

        async def checkpoint(token: str, updates):
            answer = await client.checkpoint_durable_execution(
                DurableExecutionArn=execution_arn, CheckpointToken=token, Updates=updates
            )
            return answer["CheckpointToken"]

        token = await checkpoint(token, [])
        with stopwatch(spent):
            for number in range(1, steps + 1):
                step = {"Id": operation_id("", number), "Type": "STEP", "SubType": "Step", "Name": f"step-{number}"}
                start, succeed = {**step, "Action": "START"}, {**step, "Action": "SUCCEED", "Payload": payload}
                token = await checkpoint(token, [start, succeed])
    return spent[0], token


# --- the contenders: each is given updates and returns the answer ---


@asynccontextmanager
async def plain(endpoint_url: str):
    async with plain_client(endpoint_url) as client:

        async def checkpoint(updates):
            return await client.checkpoint_durable_execution(
                DurableExecutionArn=ARN, CheckpointToken=TOKEN, Updates=updates, ClientToken="once"
            )

        yield checkpoint


@asynccontextmanager
async def ours(endpoint_url: str):
    async with AwsClient(endpoint_url=endpoint_url) as client:

        async def checkpoint(updates):
            return await client.checkpoint(ARN, TOKEN, updates, "once")

        yield checkpoint


@asynccontextmanager
async def by_hand(endpoint_url: str):
    signer = SigV4Auth(Credentials("id", "secret"), "lambda", "us-east-1")
    url = f"{endpoint_url}/2025-12-01/durable-executions/{quote(ARN, safe='')}/checkpoint"
    async with aiohttp.ClientSession() as session:

        async def checkpoint(updates):
            body = json.dumps({"CheckpointToken": TOKEN, "Updates": updates, "ClientToken": "once"}).encode()
            request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=body)
            signer.add_auth(request)
            target = aiohttp.client.URL(url, encoded=True)
            async with session.post(target, data=body, headers=dict(request.headers)) as response:
                return json.loads(await response.read())

        yield checkpoint


CONTENDERS = {"aiobotocore as it comes": plain, "AwsClient": ours, "aiohttp, signed by hand": by_hand}


# --- the service, in a process of its own ---


async def answer(request: web.Request) -> web.Response:
    updates = json.loads(await request.read()).get("Updates", [])
    operations = [
        {
            "Id": update["Id"],
            "Type": update["Type"],
            "SubType": update["SubType"],
            "Name": update["Name"],
            "Status": "SUCCEEDED",
            "StartTimestamp": 1767225600.123,
            "EndTimestamp": 1767225601.456,
            "StepDetails": {"Attempt": 1, "Result": update.get("Payload", "")},
        }
        for update in updates
    ]
    return web.json_response({"CheckpointToken": TOKEN, "NewExecutionState": {"Operations": operations}})


async def serve() -> None:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/2025-12-01/durable-executions/{arn}/checkpoint", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until the parent ends


@contextmanager
def stub_service():
    """The address of a service that answers each update with its operation, done."""
    with subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


async def compare(endpoint_url: str, calls: int) -> None:
    async with AsyncExitStack() as stack:
        checkpoints = {
            name: await stack.enter_async_context(contender(endpoint_url)) for name, contender in CONTENDERS.items()
        }
        for count in (1, 100):
            updates = [
                {
                    "Id": operation_id("", number),
                    "Type": "STEP",
                    "SubType": "Step",
                    "Action": "SUCCEED",
                    "Name": f"step-{number}",
                    "Payload": '{"order": 17, "state": "paid"}',
                }
                for number in range(count)
            ]
            spent: dict[str, list[Spent]] = {name: [] for name in checkpoints}
            for turn in range(calls // TURN + 1):
                for name, checkpoint in checkpoints.items():
                    taken: list[Spent] = []
                    with stopwatch(taken):
                        for _ in range(TURN):
                            await checkpoint(updates)
                    spent[name] += taken if turn else []  # the first opens connections and fills caches
            print(f"{count} update{'s' * (count > 1)}, per call, median of {calls // TURN} turns of {TURN}:")
            for name, turns in spent.items():
                wall, cpu = (
                    statistics.median(kind) / TURN * 1e3 for kind in zip(*map(attrs.astuple, turns), strict=True)
                )
                print(f"  {name:26} wall {wall:6.2f} ms   CPU {cpu:6.2f} ms")
    steps = max(calls // 4, 20)
    taken, _ = await floor_steps(endpoint_url, ARN, TOKEN, steps)
    print(
        f"a step's floor:              wall {taken.wall / steps * 1e3:6.2f} ms   CPU {taken.cpu / steps * 1e3:6.2f} ms"
    )


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    os.environ |= {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    with stub_service() as endpoint_url:
        asyncio.run(compare(endpoint_url, int(sys.argv[1]) if sys.argv[1:] else 400))


if __name__ == "__main__":
    main()
