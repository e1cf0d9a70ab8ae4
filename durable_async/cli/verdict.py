"""How an execution ended, as a line for people and an exit code for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

import click

from durable_async.cli.exits import Exit
from durable_async.cli.tables import console, is_terminal, status_style
from durable_async.cli.text import duration, error_line, one_line


def tell(execution: Mapping[str, Any], stream: TextIO) -> Exit:
    """Write one line about an execution that goes on no more, closed or paused.

    :param execution: as ``GetDurableExecution`` answers
    """
    status = str(execution["Status"])
    pause: Mapping[str, Any] = execution.get("PauseDetails") or {}
    ended = execution.get("EndTimestamp") or pause.get("PauseRequestTimestamp", execution["StartTimestamp"])
    took = duration(max(0.0, ended - execution["StartTimestamp"]))
    reason = one_line(error_line(execution.get("Error")) or pause.get("Reason", ""))
    rest = f" after {took}" + (f": {reason}" if reason else "")
    if is_terminal(stream):
        from rich.text import Text

        console(stream).print(Text.assemble((status, status_style(status)), rest))
    else:
        click.echo(f"{status}{rest}", file=stream)
    return Exit.OK if status == "SUCCEEDED" else Exit.FAILED
