"""AWS's own SDK: threads and boto3."""

from __future__ import annotations

import time

from aws_durable_execution_sdk_python import durable_execution, durable_step

from benchmarks.adapters import stopwatch


@durable_step
def work(_context, number, seconds):
    stopwatch.body_ran()
    if seconds:
        time.sleep(seconds)
    return number


@durable_execution
def handler(event, context):
    total = 0
    for number in range(event["steps"]):
        total += context.step(work(number, event["body_seconds"]))
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(lambda envelope: handler(envelope, None))
