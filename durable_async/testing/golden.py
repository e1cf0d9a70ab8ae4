"""Golden histories: what an execution did once is kept beside the test, and compared with what today's code does."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

import attrs

from durable_async.handler import AnyHandler
from durable_async.replay import replay
from durable_async.service.model.exported import read_history
from durable_async.testing.execution import TestExecution
from durable_async.testing.operations import as_text, exported

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module


@attrs.define
class GoldenHistory:
    """
    :ivar directory: of the histories of one test module
    :ivar test: the name of the test
    :ivar records: True: histories are written; False: they are compared
    """

    directory: Path
    test: str
    records: bool
    _count: int = 0

    async def __call__(self, execution: TestExecution[object], *, name: str | None = None) -> None:
        """Replay the recorded history against today's code, and compare it with what ``execution`` did.

        :param execution: one that has ended
        :param name: of the file; None: the test's name, with a number from the second one on
        :raises AssertionError: the code does not replay the history, or did something else; or there is no history yet
        """
        self._count += 1
        path = self.directory / f"{name or self._default_name()}.json"
        if self.records:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(exported(execution.arn, execution.events), indent=1) + "\n")
            return
        if not path.exists():
            raise AssertionError(f"there is no history {path} yet: run pytest once with --record-histories to write it")
        recorded = json.loads(path.read_text())
        await check(execution.handler, recorded, source=str(path))
        before, now = as_text(read_history(recorded).events), execution.history
        if before != now:
            lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "recorded", "now", lineterm="", n=2)
            raise AssertionError(
                f"today's code replays {path}, and a new execution does something else. If it should, run pytest with "
                "--record-histories.\n" + "\n".join(lines)
            )

    def _default_name(self) -> str:
        name = re.sub(r"[^\w.-]+", "-", self.test).strip("-")
        return name if self._count == 1 else f"{name}-{self._count}"


async def check(handler: AnyHandler, history: object, *, source: str = "the history") -> None:
    """Replay a history against a handler, for example one that was exported from AWS with
    ``get-durable-execution-history --include-execution-data``.

    :param history: as JSON values. ``ctx.uuid`` and ``ctx.random`` derive from its ``DurableExecutionArn``
    :param source: where it comes from, for the message
    :raises AssertionError: the code does something else; the message shows what is recorded, and what the code does
    :raises HistoryError: it is not a history, or has no data
    """
    report = await replay(handler, history)
    if not report.passed:
        raise AssertionError(f"today's code does not replay {source}:\n{report}")
