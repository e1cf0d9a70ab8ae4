"""Who answers which callback: the actions of a case handed out to the callbacks of its execution. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from .case import CallbackAction, CallbackOperation
from .matching import fits_name


class UnansweredCallbackError(Exception):
    """A case names what the outside world sends, and a callback finds nothing in it."""


@attrs.define
class Switchboard:
    """The actions not yet used. Every action is used once, and a callback takes the first whose name fits its own.

    A heartbeat leaves its callback open: at the next call it takes its next action.
    """

    actions: list[CallbackAction]
    names: Mapping[str, Any]
    _answering: bool = attrs.field(init=False)
    _settled: set[str] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._answering = bool(self.actions)  # with no actions at all, callbacks are meant to stay open

    def due(self, events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, CallbackAction]]:
        """Callback ids and what to send them now, in the order in which the callbacks appear in the history.

        :raises UnansweredCallbackError: if the case has actions, but none for an open callback
        """
        ended = {event.get("Id") for event in events if event["EventType"] in _ENDS}
        for event in events:
            if not self._answering or event["EventType"] != "CallbackStarted" or event["Id"] in ended:
                continue
            if event["Id"] not in self._settled:
                action = self._take(event, events)
                if action is None:
                    continue
                if action.operation is not CallbackOperation.HEARTBEAT:
                    self._settled.add(event["Id"])
                yield event["CallbackStartedDetails"]["CallbackId"], action

    def _take(self, event: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> CallbackAction | None:
        """Return None if the action's time has not come yet."""
        for action in self.actions:
            if fits_name(action.name, event.get("Name"), self.names):
                if action.after_invocation and not _invocation_ended(event, events):
                    return None
                self.actions.remove(action)
                return action
        raise UnansweredCallbackError(f"event {event['EventId']}: no action for callback {event.get('Name')!r}")


def _invocation_ended(started: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
    later = (event for event in events if event["EventId"] > started["EventId"])
    return any(event["EventType"] == "InvocationCompleted" for event in later)


_ENDS = {"CallbackSucceeded", "CallbackFailed", "CallbackTimedOut"}
