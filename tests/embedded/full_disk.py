"""A program whose disk fills up while executions run, and has room again: ``python -m tests.embedded.full_disk FILE``.

The disk is the process's limit on the size of files, which the operating system enforces as it does a full disk.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from datetime import timedelta
from pathlib import Path

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import ApiError

KILOBYTES = 20
ran: list[str] = []


async def produce(name: str) -> str:
    ran.append(name)
    await asyncio.sleep(0.01)
    return name + "x" * (KILOBYTES * 1024)


@durable_execution
async def writes(name: str, ctx: DurableContext) -> int:
    sizes = [len(await ctx.step(produce, f"{name}-{number}", name=f"step-{number}")) for number in range(10)]
    await ctx.wait(timedelta(seconds=1))
    return sum(sizes)


def limit(size: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


async def main(file: str) -> None:
    failures = FailureLog()
    logging.getLogger("durable_async.service").addHandler(failures)
    async with DurableService(file) as service:
        service.register(writes)
        executions = [await service.start(writes, f"e{number}", name=f"e{number}") for number in range(5)]
        waiting = [asyncio.ensure_future(execution.result()) for execution in executions]
        await asyncio.sleep(0.05)
        limit(Path(f"{file}-wal").stat().st_size + 100 * 1024)  # there is room for five more results
        while not failures.told:
            await asyncio.sleep(0.01)
        try:
            await service.start(writes, "x" * 200_000, name="too-much")
        except ApiError as refused:
            print("refused", refused.status, refused.message)
        print("reading works", await executions[0].status())
        limit(None)
        results = [await execution.result(timeout=timedelta(seconds=60)) for execution in executions]
        assert await asyncio.gather(*waiting) == results
        print("finished", results == [10 * (KILOBYTES * 1024 + 4)] * 5)
        print("not started", await service.find(writes, "too-much"))
        for execution in executions:
            history = await execution.history()
            assert [event.id for event in history] == [*range(1, len(history) + 1)]
            assert sum(event.type == "StepSucceeded" for event in history) == 10
    print("told", failures.told[0])


class FailureLog(logging.Handler):
    """What the service logs of its store."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
