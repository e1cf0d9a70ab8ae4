"""The floor: the calls that a durable workflow cannot do without, on aiobotocore and nothing else.

No contexts, retries, errors or concurrency: a yardstick, not an implementation. It takes from aiobotocore what a caller
may take (validation, the user agent's parts, the walk over the answer's shapes); ``plain`` takes it as it comes.
"""

from __future__ import annotations

import asyncio
import json
from hashlib import blake2b
from typing import Any

from benchmarks.adapters import stopwatch


async def work(number, seconds):
    stopwatch.body_ran()
    if seconds:
        await asyncio.sleep(seconds)
    return number


async def run_steps(envelope: dict[str, Any], open_client) -> dict[str, Any]:
    """What the others' handlers do. The client is asked for when the first call is to be made."""
    operations = {operation["Id"]: operation for operation in envelope["InitialExecutionState"]["Operations"]}
    arn, token = envelope["DurableExecutionArn"], envelope["CheckpointToken"]
    event = json.loads(operations[arn.rpartition("/")[2]]["ExecutionDetails"]["InputPayload"])
    total = 0
    for number in range(event["steps"]):
        step_id = blake2b(str(number + 1).encode()).hexdigest()[:64]
        if step_id not in operations:
            step = {"Id": step_id, "Type": "STEP", "SubType": "Step", "Name": "work"}
            result = json.dumps(await work(number, event["body_seconds"]))
            answer = await (await open_client()).checkpoint_durable_execution(
                DurableExecutionArn=arn,
                CheckpointToken=token,
                Updates=[step | {"Action": "START"}, step | {"Action": "SUCCEED", "Payload": result}],
            )
            token = answer["CheckpointToken"]
            operations |= {changed["Id"]: changed for changed in answer["NewExecutionState"]["Operations"]}
        total += json.loads(operations[step_id]["StepDetails"]["Result"])
    return {"Status": "SUCCEEDED", "Result": json.dumps(total)}


def measure(create_client, run=run_steps) -> None:
    """Of ``run(envelope, open_client)``.

    :param create_client: returns aiobotocore's context of a client, which is entered once and never left
    """
    runner = asyncio.Runner()
    contexts: list[Any] = []
    clients: list[Any] = []

    async def open_client():
        if not clients:
            contexts.append(create_client())
            clients.append(await contexts[0].__aenter__())
        return clients[0]

    async def close_client() -> None:
        for context in contexts:
            await context.__aexit__(None, None, None)

    stopwatch.measure(lambda envelope: runner.run(run(envelope, open_client)))
    runner.run(close_client())
    runner.close()


def trimmed_client():
    from aiobotocore.config import AioConfig
    from aiobotocore.parsers import AioResponseParserFactory, AioRestJSONParser
    from aiobotocore.session import get_session

    class PlainBody(AioRestJSONParser):
        """Leaves a good answer's body as the JSON that it is."""

        async def parse(self, response, shape):
            if response["status_code"] != 200:
                return await super().parse(response, shape)
            answer = json.loads(response["body"])
            answer["ResponseMetadata"] = {"HTTPStatusCode": 200, "HTTPHeaders": {}}
            return answer

    class PlainBodies(AioResponseParserFactory):
        def create_parser(self, protocol_name):  # noqa: ARG002 - there is only one
            return PlainBody()

    session = get_session()
    session.register_component("response_parser_factory", PlainBodies())
    config = AioConfig(parameter_validation=False, user_agent=session.user_agent())
    return session.create_client("lambda", config=config)


if __name__ == "__main__":
    measure(trimmed_client)
