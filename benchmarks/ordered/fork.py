from __future__ import annotations

from async_durable_execution import durable_callable, durable_execution, step

from benchmarks.gathered.workflow import report_output
from benchmarks.ordered.process import body, read_task, run_program

work = durable_callable(body)


@durable_execution
async def handler(_event):
    await run_program(lambda label: step(work(label)))


if __name__ == "__main__":
    report_output(handler(read_task()["envelope"], None))
