"""The ``durable-async`` command. Each command has its own module, which only calls the package."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from durable_async.cli.commands import durable_async
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("The durable-async command needs click: pip install 'durable-async[cli]'")
    from durable_async.cli.text import any_text_can_be_written

    any_text_can_be_written()
    durable_async(prog_name="durable-async")
