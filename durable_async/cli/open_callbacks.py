"""The callbacks of an execution that nobody has answered yet, as its history tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from durable_async.cli.client import closes
from durable_async.cli.exits import Refused
from durable_async.cli.text import one_line


@attrs.frozen
class OpenCallback:
    """
    :ivar id: what answers it
    :ivar name: the one in the workflow's code; that of ``wait_for_callback``, if it is one of its parts
    """

    id: str
    name: str


@attrs.define
class Callbacks:
    """Takes the events of one history in their order."""

    _names: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    _open: dict[str, OpenCallback] = attrs.field(init=False, factory=dict[str, OpenCallback])

    def take(self, event: Mapping[str, Any]) -> OpenCallback | None:
        """The callback that ``event`` opens, if it does."""
        kind, operation = event["EventType"], event.get("Id", "")
        if event.get("SubType") == "WaitForCallback":
            self._names[operation] = event.get("Name") or ""
        if kind == "CallbackStarted":
            name = self._names.get(event.get("ParentId") or "") or event.get("Name") or ""
            found = OpenCallback(event["CallbackStartedDetails"]["CallbackId"], name)
            self._open[operation] = found
            return found
        if kind.startswith("Callback"):
            self._open.pop(operation, None)
        elif closes(event):
            self._open.clear()
        return None

    @property
    def open(self) -> Sequence[OpenCallback]:
        return [*self._open.values()]


def choose(callbacks: Sequence[OpenCallback], execution: str, name: str | None) -> OpenCallback:
    """The callback that is meant: by its name, or the only one.

    :param execution: as it was named, for messages
    :raises Refused: there is none, or more than one
    """
    fitting = [each for each in callbacks if name in (None, each.name)]
    if len(fitting) == 1:
        return fitting[0]
    called = "" if name is None else f" named {name}"
    names = ", ".join(sorted({each.name or "(no name)" for each in callbacks}))
    if not callbacks:
        raise Refused(one_line(f"{execution} has no open callback: durable-async show {execution} tells what it does"))
    if not fitting:
        raise Refused(one_line(f"{execution} has no open callback{called}; open are: {names}"))
    advice = "give the name of one" if name is None else "give the id of one, which show prints"
    raise Refused(one_line(f"{execution} has {len(fitting)} open callbacks{called} ({names}): {advice}"))
