"""How the callbacks of what ``run`` runs are answered: from another shell, over an endpoint of this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import attrs
import click

from durable_async.cli.open_callbacks import Callbacks
from durable_async.cli.text import one_line
from durable_async.service.api import DurableApi


@attrs.define
class Answering:
    """Serves the API on a free port of this machine as soon as a callback is open, and says how to answer it.

    :ivar execution: as ``FUNCTION/NAME``
    :ivar stack: ends the server
    """

    api: DurableApi
    execution: str
    stack: AsyncExitStack
    _callbacks: Callbacks = attrs.field(init=False, factory=Callbacks)
    _url: str | None = attrs.field(init=False, default=None)

    async def take(self, event: Mapping[str, Any]) -> None:
        """The next event of the history."""
        opened = self._callbacks.take(event)
        if opened is None:
            return
        if self._url is None:
            from durable_async.service.http import serve

            self._url = await self.stack.enter_async_context(serve(self.api))
        command = f"durable-async callback succeed {opened.id} --text yes --endpoint {self._url}"
        named = f"The callback '{opened.name}' is open." if opened.name else "A callback is open."
        click.echo(one_line(f"{named} Answer it from another shell: {command}"), file=sys.stderr)
