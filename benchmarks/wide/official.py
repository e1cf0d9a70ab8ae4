from __future__ import annotations

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

from benchmarks.adapters import stopwatch
from benchmarks.adapters.official import work


@durable_execution
def handler(event, context):
    def one_step(context, number, _index, _numbers):
        return context.step(work(number, event["body_seconds"]))

    def one_wait(context, _number, _index, _numbers):
        stopwatch.body_ran()
        context.wait(Duration.from_hours(1))
        raise AssertionError("an hour has not passed")

    results = context.map(range(event["steps"]), one_step if event["workflow"] == "map" else one_wait)
    total = sum(results.get_results())
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(lambda envelope: handler(envelope, None))
