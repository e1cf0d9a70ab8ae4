"""Operations that were called and have not begun.

A call takes an identity at once, and its coroutine does nothing until it is awaited. When a context returns, a call
that nobody awaited is a mistake that would otherwise end as a success. When a context raises or is suspended it is not
a mistake: the code may have meant to await it later. Only if the code raised because it took a coroutine for the result
is the sentence added to that error, as a note.

- a call that was given to a task which continues, or has not had its first turn, belongs to that task and is cancelled
  with it. Otherwise the order in which the loop runs tasks would decide whether an execution fails
- a call that did not begin is closed, so that Python does not warn of a coroutine that was never awaited
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import cast

from durable_async._engine.branches import Claim, Workflow
from durable_async._engine.tasks import Coro, Task, has_not_begun
from durable_async._excerpts import first_few
from durable_async.errors import ContextMisuseError


def settle_unstarted(calls: dict[Claim, None], workflow: Workflow, raised: BaseException | None) -> None:
    """Close the operations of a context that has ended.

    :param raised: what the context raised; None: it returned
    :raises ContextMisuseError: the context returned, and one of them was never awaited
    """
    left = [*calls]
    calls.clear()
    handed_on = [value for task in workflow.tasks if has_not_begun(task) for value in _given_to(task)]
    forgotten = [call for call in left if not (_is_closed(call) or _is_held(call, handed_on))]
    for call in left:
        if call.coroutine is not None and call not in forgotten:
            workflow.unawaited.append(call.coroutine)
    close_unstarted([call.coroutine for call in forgotten if call.coroutine is not None])
    if forgotten and raised is None:
        raise ContextMisuseError(_sentence(forgotten))
    if forgotten and isinstance(raised, AttributeError | TypeError) and "'coroutine'" in str(raised):
        raised.add_note(_sentence(forgotten))


def close_unstarted(coroutines: list[Coro[object]]) -> None:
    """Close the coroutines that have not begun. One that has begun ends in its task."""
    for coroutine in coroutines:
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()


def _is_closed(call: Claim) -> bool:
    """Return whether somebody closed it, so that it does not begin."""
    return call.coroutine is not None and inspect.getcoroutinestate(call.coroutine) == inspect.CORO_CLOSED


def _given_to(task: Task) -> list[object]:
    """Return the coroutine of the task, and the values that it was called with."""
    coroutine = task.get_coro()
    assert inspect.iscoroutine(coroutine)
    values: list[object] = [coroutine]
    for value in inspect.getcoroutinelocals(coroutine).values():
        values.extend(cast("Iterable[object]", value) if isinstance(value, tuple | list) else [value])
    return values


def _is_held(call: Claim, handed_on: Collection[object]) -> bool:
    task = call.branch.task
    goes_on = task is not None and not task.done() and task is not asyncio.current_task()
    return goes_on or (call.coroutine is not None and any(call.coroutine is value for value in handed_on))


def _sentence(calls: list[Claim]) -> str:
    named = first_few([f"{call} ({_place(call)})" for call in calls])
    verb = "were" if len(calls) > 1 else "was"
    return (
        f"{named} {verb} called and never awaited, so nothing of it was done. Write 'await' before the call "
        "('async with' before ctx.timeout), or give it to asyncio.gather or a task group"
    )


def _place(call: Claim) -> str:
    code = call.caller
    if code is None:
        return "unknown place"
    lines = (line for start, end, line in code.co_lines() if start <= call.instruction < end)
    return f"{Path(code.co_filename).name}:{next(lines, None) or code.co_firstlineno}"
