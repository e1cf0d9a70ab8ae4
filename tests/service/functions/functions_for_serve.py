"""Functions as a user writes them, for the tests that run them in worker processes."""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace
from urllib.parse import quote

COUNTER = SimpleNamespace(value=0)
logger = logging.getLogger("orders")


def takes_one(event):
    return event


def echo(event, context):
    return event


async def echo_later(event, context):
    await asyncio.sleep(0)
    return event


def describe_context(event, context):
    return {
        "request_id": context.aws_request_id,
        "name": context.function_name,
        "arn": context.invoked_function_arn,
        "tenant": context.tenant_id,
        "remaining": context.get_remaining_time_in_millis() > 0,
        "main_thread": threading.current_thread() is threading.main_thread(),
    }


def count(event, context):
    """How often it ran in this process."""
    COUNTER.value += 1
    return {"pid": os.getpid(), "count": COUNTER.value}


def environment(event, context):
    return dict(os.environ)


def fail(event, context):
    raise LookupError(event.get("message", "no such order"))


def leave(event, context):
    print("leaving")
    os._exit(event.get("status", 3))


def be_killed(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


def leave_by_sys_exit(event, context):
    sys.exit(7)


def leave_a_child_behind(event, context):
    """Forks a process that keeps all that it inherits, and dies itself."""
    if (child := os.fork()) == 0:
        time.sleep(60)
    print(child)
    os._exit(4)


def hang(event, context):
    print("hanging")
    time.sleep(60)


def unserializable(event, context):
    return {"when": object()}


def not_a_number(event, context):
    return float("nan")


def lone_surrogate(event, context):
    return "\ud800"


def fail_with_lone_surrogate(event, context):
    raise ValueError("\ud800")


def write_lines(event, context):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    print(json.dumps({"plugin": "raw"}))
    logger.info("charged %s", 5, extra={"executionArn": "arn:1", "amount": 5, "card": threading.main_thread})
    logger.debug("not at this level")
    try:
        raise LookupError("no such card")
    except LookupError:
        logger.exception("declined")
    print("no end of line", end="")


def log_as_botocore(event, context):
    credentials = logging.getLogger("botocore.credentials")
    credentials.info("Found credentials in environment variables.")
    credentials.warning("a warning")
    credentials.setLevel(logging.INFO)
    credentials.info("asked for")


def write_many_lines(event, context):
    for number in range(event["lines"]):
        print(number, "x" * 200)


def write_from_threads(event, context):
    def write(letter):
        for _ in range(200):
            print(letter * 50)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hang_durably(event, context):
    return hang(event, context)


hang_durably.durable = True


class DurableStub:
    """One step with the event as its result, on the bare wire; then the execution's result is that."""

    durable = True

    def __call__(self, envelope, context):
        operations = envelope["InitialExecutionState"]["Operations"]
        event = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
        if event == "leave" and len(operations) == 1:
            self._checkpoint(envelope, {"Id": "1", "Type": "STEP", "Action": "START", "Name": "charge"})
            os._exit(9)
        update = {"Id": "1", "Type": "STEP", "Action": "SUCCEED", "Name": "charge", "Payload": json.dumps(event)}
        self._checkpoint(envelope, update)
        print(json.dumps({"executionArn": envelope["DurableExecutionArn"], "step": "charge"}))
        return {"Status": "SUCCEEDED", "Result": json.dumps(event)}

    def _checkpoint(self, envelope, *updates):
        arn = quote(envelope["DurableExecutionArn"], safe="")
        key = os.environ["AWS_ACCESS_KEY_ID"]
        request = urllib.request.Request(
            f"{os.environ['AWS_ENDPOINT_URL_LAMBDA']}/2025-12-01/durable-executions/{arn}/checkpoint",
            json.dumps({"CheckpointToken": envelope["CheckpointToken"], "Updates": updates}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )
        urllib.request.urlopen(request, timeout=20).close()


durable = DurableStub()

HANDLERS = {
    "1-1": echo,
    "1-2": durable,
    "leave": leave,
    "write-lines": write_lines,
    "fail": fail,
    "hang-durably": hang_durably,
}
MIXED = {"good": echo, "bad": 5}
NO_FUNCTION = 5
