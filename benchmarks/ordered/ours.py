from __future__ import annotations

from benchmarks.gathered.workflow import report_output
from benchmarks.ordered.process import body, read_task, run_program
from durable_async import DurableContext, durable_execution


@durable_execution
async def handler(_event: None, ctx: DurableContext) -> None:
    await run_program(lambda label: ctx.step(body, label))


if __name__ == "__main__":
    report_output(handler(read_task()["envelope"]))
