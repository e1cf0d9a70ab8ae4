from __future__ import annotations

import asyncio
import os

from dbos import DBOS, SetWorkflowID

from benchmarks.gathered.workflow import report
from benchmarks.ordered.process import body, read_task, run_program

work = DBOS.step()(body)


@DBOS.workflow()
async def workflow():
    await run_program(work)


async def main() -> None:
    task = read_task()
    database = f"sqlite:///{task['database']}"
    DBOS(config={"name": "ordered", "system_database_url": database, "log_level": "CRITICAL"})
    DBOS.launch()
    if task["crash_in"] is None:
        handle = await DBOS.retrieve_workflow_async("ordered")  # recovered by the launch
    else:
        with SetWorkflowID("ordered"):
            handle = await DBOS.start_workflow_async(workflow)
    try:
        report(await asyncio.wait_for(handle.get_result(), 20))
    except Exception as error:  # noqa: BLE001 - whatever a workflow can end with
        report(None, type(error).__name__)
    os._exit(0)  # its orderly end takes a second, and nothing depends on it


if __name__ == "__main__":
    asyncio.run(main())
