"""What log records tell of the trace, and how they are printed on Lambda."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import utils

from durable_async import current_step, durable_execution
from durable_async.otel import Traces

from .exported import VIEWS, Exported, traced
from .test_export import ENVELOPE, Nobody

LAMBDA = """
import asyncio, logging, sys
from awslambdaric.bootstrap import StandardLogSink, _setup_logging
from awslambdaric.lambda_runtime_log_utils import LogFormat
_setup_logging(LogFormat.from_str({format!r}), {level!r}, StandardLogSink())
from durable_async import durable_execution
from tests.world import World

@durable_execution
async def workflow(event, ctx):
    ctx.logger.debug("debug")
    ctx.logger.info("hello")
    logging.getLogger("other").warning("by another")
    logging.getLogger("other").info("unheard")

async def main():
    async with World() as world:
        await world.run(workflow)

asyncio.run(main())
"""


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    handler = Kept()
    logger = logging.getLogger("durable_async.workflow")
    level = logger.level
    logger.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("view", VIEWS)
async def test_records_carry_the_ids_of_the_span_in_which_they_were_written(view, kept):
    exported = Exported()

    def body():
        current_step().logger.info("in step")
        logging.getLogger("a library").warning("of a library")

    async def workflow(event, ctx):
        ctx.logger.info("in body")
        await ctx.step(body, name="step")

    await traced(workflow, view, exported)
    attempt, invocation = exported.one("step attempt 1"), exported.one("Invocation")
    written = {record.getMessage(): record for record in kept}
    for message, span in (("in body", invocation), ("in step", attempt), ("of a library", attempt)):
        record = written[message]
        assert (int(record.traceId, 16), int(record.spanId, 16)) == (span.context.trace_id, span.context.span_id)
        assert (len(record.traceId), len(record.spanId), record.otelTraceSampled) == (32, 16, True)
    logging.getLogger("a library").warning("outside")
    assert not hasattr(kept[-1], "traceId")


async def test_records_after_an_invocation_stay_as_they_are_in_the_same_task_too(kept):
    async def workflow(event, ctx): ...

    handler = durable_execution(plugins=[Traces(tracer_provider=Exported().provider)])(workflow)
    await handler.run(ENVELOPE, client=Nobody())
    logging.getLogger("a library").warning("outside")
    assert not hasattr(kept[-1], "traceId")


async def test_without_correlation_records_stay_as_they_are(kept):
    async def workflow(event, ctx):
        ctx.logger.info("in body")

    await traced(workflow, log_correlation=False)
    [record] = [each for each in kept if each.getMessage() == "in body"]
    assert not hasattr(record, "traceId")


async def test_powertools_prints_the_ids_of_execution_and_trace():
    stream = io.StringIO()
    source = Logger(service="orders", stream=stream, level="INFO")
    durable = logging.getLogger("durable_async")
    before = (durable.level, durable.propagate, [*durable.handlers])
    utils.copy_config_to_registered_loggers(source, include={"durable_async"})
    try:
        exported = Exported()

        async def workflow(event, ctx):
            ctx.logger.info("order %s", 17)

        await traced(workflow, exported=exported)
    finally:
        durable.setLevel(before[0])
        durable.propagate, durable.handlers = before[1:]
    [line] = [json.loads(line) for line in stream.getvalue().splitlines() if "order 17" in line]
    assert line["service"] == "orders"
    assert line["executionArn"].startswith("arn:aws:lambda:")
    assert int(line["traceId"], 16) == exported.one("Invocation").context.trace_id


def printed(log_format, level=None, **environment):
    script = LAMBDA.format(format=log_format, level=level)
    environment = {"AWS_LAMBDA_FUNCTION_NAME": "orders", "AWS_LAMBDA_LOG_FORMAT": log_format, **environment}
    process = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return [line for line in process.stdout.splitlines() if line]


@pytest.mark.slow
def test_on_lambda_the_workflows_records_are_json_at_info_without_any_configuration():
    hello, other = printed("Text")
    assert (
        json.loads(hello).items() >= {"level": "INFO", "message": "hello", "logger": "durable_async.workflow"}.items()
    )
    assert json.loads(hello)["executionArn"].startswith("arn:")
    assert other.startswith("[WARNING]") and other.endswith("by another")


@pytest.mark.slow
def test_what_the_functions_logging_config_says_holds():
    hello, other = map(json.loads, printed("JSON"))
    assert (hello["message"], other["message"]) == ("hello", "by another")
    assert hello["executionArn"].startswith("arn:")
    assert [json.loads(line)["message"] for line in printed("JSON", "WARN", AWS_LAMBDA_LOG_LEVEL="WARN")] == [
        "by another"
    ]
