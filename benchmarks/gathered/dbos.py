from __future__ import annotations

import asyncio
import os

from dbos import DBOS, SetWorkflowID

from benchmarks.gathered.workflow import BRANCHES, STEPS, body, pause, read_task, report


@DBOS.step()
async def work(branch, number):
    return body(branch, number)


async def branch_of(branch):
    results = []
    for number in range(STEPS):
        await pause()
        results.append(await work(branch, number))
    return results


@DBOS.workflow()
async def workflow():
    return await asyncio.gather(*(branch_of(branch) for branch in range(BRANCHES)))


async def main() -> None:
    task = read_task()
    database = f"sqlite:///{task['database']}"
    DBOS(config={"name": "gathered", "system_database_url": database, "log_level": "CRITICAL"})
    DBOS.launch()
    if task["crash_in"] is None:
        handle = await DBOS.retrieve_workflow_async("gathered")  # recovered by the launch
    else:
        with SetWorkflowID("gathered"):
            handle = await DBOS.start_workflow_async(workflow)
    try:
        report(await asyncio.wait_for(handle.get_result(), 20))
    except Exception as error:  # noqa: BLE001 - whatever a workflow can end with
        report(None, type(error).__name__)
    os._exit(0)  # its orderly end takes a second, and nothing depends on it


if __name__ == "__main__":
    asyncio.run(main())
