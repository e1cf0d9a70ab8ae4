"""AWS's own SDK: threads and boto3."""

from __future__ import annotations

from aws_durable_execution_sdk_python import durable_execution, durable_step

from benchmarks.adapters import stopwatch


@durable_step
def work(_context, number):
    stopwatch.body_ran()
    return number


@durable_execution
def handler(event, context):
    total = 0
    for number in range(event["steps"]):
        total += context.step(work(number))
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(lambda envelope: handler(envelope, None))
