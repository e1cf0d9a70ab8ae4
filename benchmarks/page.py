"""``python -m benchmarks.page``: the page in Chromium, over many executions and an execution of many operations.

Prints how long it takes from the address to the first rows, how much is transferred, and how long frames take while
the list scrolls. The server and the browser share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
FRAMES = """async ({selector, steps}) => {
    const list = document.querySelector(selector), times = [];
    let last = performance.now();
    for (let step = 1; step <= steps; step++) {
        list.scrollTop += 400;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    return times;
}"""
TRANSFERRED = """() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .map(each => [each.name, each.transferSize])"""


@durable_execution
async def short(event: int, ctx: DurableContext) -> int:
    return event


@durable_execution
async def many(event: int, ctx: DurableContext) -> int:
    for start in range(0, event, 100):
        await asyncio.gather(*(ctx.step(lambda: None, name=f"step {number}") for number in range(start, start + 100)))
    return event


HANDLERS = {"short": short, "many": many}


async def fill(file: str, executions: int, operations: int) -> None:
    """Make a store with many executions: one of each kind runs, and then the rows of the short one are copied."""
    async with DurableService(file, durability="normal") as service:
        for handler in HANDLERS.values():
            service.register(handler)
        await (await service.start(many, operations, name="many")).result()
        copied = await service.start(short, 1, name="n-0")
        await copied.result()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        copy(connection, copied.arn.rpartition("/")[2], executions)


def copy(connection: sqlite3.Connection, execution_id: str, times: int) -> None:
    """Copy the rows of an execution, each copy with a position, an id, a name and times of its own."""
    (position,) = connection.execute("SELECT position FROM executions WHERE id = ?", [execution_id]).fetchone()
    new = {
        "position": "position + n",
        "execution": "execution + n",
        "name": "CASE name WHEN 'n-0' THEN 'n-' || n ELSE name END",
        "arn": "replace(replace(arn, 'n-0', 'n-' || n), :id, :id || '-' || n)",
        "started_ms": "started_ms + n",
        "ended_ms": "ended_ms + n",
    }
    for table, key in (("executions", "position"), ("operations", "execution"), ("events", "execution")):
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
        ids = {"id": "CASE id WHEN :id THEN :id || '-' || n ELSE id END"}
        values = ", ".join({**new, **ids}.get(name, name) for name in columns)
        connection.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :times) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, {table} WHERE {key} = :position",
            {"id": execution_id, "times": times - 1, "position": position},
        )


@contextlib.contextmanager
def serving(file: str) -> Iterator[str]:
    command = [sys.executable, "-m", "durable_async.cli", "serve", "--ui", "--in-process", "--store", file]
    process = subprocess.Popen(
        [*command, "--functions", "benchmarks.page", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield re.findall(r"http://[^\s,]+", process.stdout.readline())[-1]
    finally:
        process.terminate()
        process.wait()


def seconds_of(work: str, began: float) -> None:
    print(f"{work}: {time.perf_counter() - began:.1f} s", flush=True)


def visit(browser: Any, url: str, row: str, scroller: str, wanted: str) -> dict[str, float]:
    """Open the page on a new profile, and scroll through what it shows.

    :param row: a selector of what is there when there is something to look at
    :param wanted: text that is there when everything is
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(row)
    first = time.perf_counter() - begun
    page.wait_for_selector(f"text=/{wanted}/", timeout=120_000)
    whole = time.perf_counter() - begun
    transferred = dict(page.evaluate(TRANSFERRED))
    files = sum(size for name, size in transferred.items() if "/api/" not in name)
    frames = page.evaluate(FRAMES, {"selector": scroller, "steps": 120})
    context.close()
    return {
        "first rows, ms": first * 1000,
        "complete, ms": whole * 1000,
        "files, KiB": files / 1024,
        "API, KiB": (sum(transferred.values()) - files) / 1024,
        "frame while scrolling, median ms": statistics.median(frames),
        "frame while scrolling, 95 % ms": sorted(frames)[int(len(frames) * 0.95)],
    }


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="visits of each, of which the median counts (5)")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "page.db")
        began = time.perf_counter()
        asyncio.run(fill(file, options.executions, options.operations))
        seconds_of("the store was filled", began)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before (which should be near 0)", flush=True)
        with serving(file) as url, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            list_url, list_rows = f"{url}#/executions", '[role="row"][data-row]'
            page = browser.new_page()
            page.goto(f"{url}#/executions?function=many")
            arn = page.locator(f"{list_rows} a").first.get_attribute("href")
            page.close()
            places = {
                f"list of {options.executions:,} executions": (list_url, list_rows, "The newest"),
                f"execution of {options.operations:,} operations": (
                    f"{url}{arn}",
                    "[data-operation]",
                    f"{options.operations:,}, ",
                ),
            }
            for name, (address, row, wanted) in places.items():
                runs = [visit(browser, address, row, ".scroller", wanted) for _ in range(options.runs)]
                print(f"\n{name}")
                for label, value in median(runs).items():
                    print(f"  {label:<36}{value:>10,.1f}")
            browser.close()


if __name__ == "__main__":
    main()
