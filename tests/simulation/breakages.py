"""Patches that make the system wrong. A simulation that does not notice them proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from durable_async._engine.flusher import Flusher
from durable_async._operations import step
from durable_async._operations.step_rules import Interrupted, Return, Run, Start
from durable_async.service import machine
from durable_async.service.machine import lifecycle
from durable_async.service.machine.execution import Execution
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.registry import Registered
from durable_async.service.runtime.runner import Runner
from durable_async.service.store.sqlite import files
from durable_async.service.store.sqlite.threads import Writer


@attrs.frozen
class Breakage:
    """
    :ivar what: is wrong
    :ivar owner: what is patched
    :ivar name: of its attribute
    :ivar broken: makes the replacement of the original
    """

    what: str
    owner: Any
    name: str
    broken: Callable[[Any], Any]

    @contextmanager
    def applied(self) -> Generator[None]:
        original = getattr(self.owner, self.name)
        setattr(self.owner, self.name, self.broken(original))
        try:
            yield
        finally:
            setattr(self.owner, self.name, original)


# --- the engine ---


def _does_not_wait(commit: Any) -> Any:
    def broken(self: Flusher, update: Any) -> asyncio.Future[None]:
        commit(self, update)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    return broken


def _runs_what_succeeded(next_action: Any) -> Any:
    def broken(*arguments: Any) -> Any:
        action = next_action(*arguments)
        return Run(1, Start.ON_RECORD) if isinstance(action, Return) else action

    return broken


def _posts_every_start(next_action: Any) -> Any:
    def broken(*arguments: Any) -> Any:
        action = next_action(*arguments)
        return Run(action.attempt, Start.POSTED) if action == Run(1, Start.COMMITTED) else action

    return broken


def _runs_what_was_interrupted(next_action: Any) -> Any:
    def broken(*arguments: Any) -> Any:
        action = next_action(*arguments)
        return Run(action.attempt, Start.ON_RECORD) if isinstance(action, Interrupted) else action

    return broken


# --- the service ---


def _takes_any_token(invocation_of: Any) -> Any:
    def broken(self: Execution, token: str) -> Any:
        return self.invocation or invocation_of(self, token)

    return broken


def _fires_early(pop_due: Any) -> Any:
    return lambda self, now_ms: pop_due(self, now_ms + 1000)


def _answers_before_the_commit(commit: Any) -> Any:
    async def broken(self: Commands, execution: Execution) -> None:
        saved = asyncio.ensure_future(commit(self, execution))
        saved.add_done_callback(lambda done: done.cancelled() or done.exception())

    return broken


def _invokes_nothing_at_the_start(take_up: Any) -> Any:
    def broken(self: Runner, registered: Registered) -> None:
        name = registered.name
        self._left[name] = [attrs.evolve(found, active=False) for found in self._left.get(name, ())]
        take_up(self, registered)

    return broken


def _sets_no_timer_at_the_start(take_up: Any) -> Any:
    def broken(self: Runner, registered: Registered) -> None:
        name = registered.name
        self._left[name] = [found for found in self._left.get(name, ()) if found.active]
        take_up(self, registered)

    return broken


def _gives_up_what_was_due(arm_again: Any) -> Any:
    del arm_again
    return lambda self, execution_id: None


def _invokes_what_is_paused(wanted: Any) -> Any:
    del wanted

    def broken(self: Execution) -> bool:
        news = bool(self.unseen) or self.deferred
        return news and self.open and self.invocation is None and self.invoke_at_ms is None

    return property(broken)


def _has_no_effects(command: Any) -> Any:
    def broken(execution: Execution, argument: str | None, at: Any) -> None:
        command(execution, argument, at)
        execution.changes.effects.clear()

    return broken


def _stops_only_what_rests(stop: Any) -> Any:
    def broken(execution: Execution, error: Any, at: Any) -> None:
        if execution.invocation is None:
            stop(execution, error, at)

    return broken


def _does_not_record_a_cancellation(request_cancellation: Any) -> Any:
    del request_cancellation
    return lambda execution, reason, at: None


# --- the store ---


def _flushes_no_commit(prepare: Any) -> Any:
    return lambda connection, path, durability: prepare(connection, path, "normal")


def _hides_failures(lose: Any) -> Any:
    return lambda self, group, error: [None for _ in lose(self, group, error)]


def _goes_on_after_a_failure(lose: Any) -> Any:
    del lose
    return lambda self, group, error: [error] * len(group)


def _leaves_out_the_last(write: Any) -> Any:
    def broken(self: Writer, group: Sequence[Any]) -> list[Any]:
        return [*write(self, group[:-1]), None] if len(group) > 1 else write(self, group)

    return broken


BREAKAGES = (
    Breakage("a result is handed on before it is recorded", Flusher, "commit", _does_not_wait),
    Breakage("a step that succeeded runs again in a replay", step, "next_action", _runs_what_succeeded),
    Breakage("an at-most-once start is not recorded before its body", step, "next_action", _posts_every_start),
    Breakage("an interrupted at-most-once attempt runs again", step, "next_action", _runs_what_was_interrupted),
    Breakage("an old checkpoint token is good", Execution, "invocation_of", _takes_any_token),
    Breakage("a timer fires a second early", Execution, "pop_due", _fires_early),
    Breakage("the service answers before the store has committed", Commands, "commit", _answers_before_the_commit),
    Breakage("a service that starts invokes nothing", Runner, "_take_up", _invokes_nothing_at_the_start),
    Breakage("a service that starts sets no timers", Runner, "_take_up", _sets_no_timer_at_the_start),
    Breakage("what was due when the store failed is given up", Commands, "_arm_again", _gives_up_what_was_due),
    Breakage("a paused execution is invoked", Execution, "wanted", _invokes_what_is_paused),
    Breakage("a resumed execution is not invoked", lifecycle, "end_pause", _has_no_effects),
    Breakage("a running execution is not stopped", machine, "stop", _stops_only_what_rests),
    Breakage("a cancellation is not recorded", lifecycle, "request_cancellation", _does_not_record_a_cancellation),
    Breakage("a redriven execution is not invoked", machine, "redrive", _has_no_effects),
    Breakage("a loss of power takes commits of the full durability", files, "prepare", _flushes_no_commit),
    Breakage("a write that failed is reported as done", Writer, "_lose", _hides_failures),
    Breakage("an object that is ahead of the file is written on", Writer, "_lose", _goes_on_after_a_failure),
    Breakage("the last write of a group is left out", Writer, "_write", _leaves_out_the_last),
)
