"""Shows where the workflows of a process are, for someone who looks for what does not continue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from textwrap import indent
from types import FrameType

from durable_async._engine.branches import Branch
from durable_async._engine.call import operations_of
from durable_async._engine.calling import place_of_other
from durable_async._engine.isolation import coroutines_of
from durable_async._engine.tasks import Task
from durable_async._excerpts import first_few
from durable_async._raised import format_frames, is_users
from durable_async._threads import in_thread_of
from durable_async.step_context import StepContext

_STACKS = 20  # of one execution
_NEXT = "\n  "


def format_stacks(execution_arn: str | None = None, *, loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Return where the workflows of an event loop are: for each task the operation that it is in, and the lines of your
    code and of libraries at which it waits, the innermost last.

    Tasks with the same lines are shown once. Of a sync step, the lines are those of its thread. Call this on the event
    loop: in a request, for example, or in a handler of ``signal.signal``, which Python calls even while a workflow
    blocks the loop.

    :param execution_arn: of the execution to show; None: all
    :param loop: None: the running loop
    :return: several lines of text; empty if no workflow is in memory
    :raises RuntimeError: no loop is running, and none was given
    """
    executions: dict[str, list[Task]] = {}
    for task in asyncio.all_tasks(loop):
        arn = _execution_of(task)
        if arn is not None and execution_arn in (None, arn):
            executions.setdefault(arn, []).append(task)
    caller = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
    running = {asyncio.current_task(loop): caller}
    return "".join(_paragraph(arn, executions[arn], running) for arn in sorted(executions))


def _paragraph(arn: str, tasks: list[Task], running: dict[Task | None, FrameType]) -> str:
    stacks: dict[str, list[str]] = {}  # where the tasks are, by their lines
    for task in sorted(tasks, key=lambda task: _order(task, arn)):
        caller = running.get(task)
        outermost = getattr(task.get_coro(), "cr_frame", None)
        frames = _frames_of_waiting(task) if caller is None else _frames_until(caller, outermost)
        lines = format_frames([(frame, frame.f_lineno) for frame in frames if is_users(frame)])
        stacks.setdefault(indent("".join(lines), "  "), []).append(_where(task, arn))
    shown = [f"  {first_few(where, separator=_NEXT)}\n{lines}" for lines, where in [*stacks.items()][:_STACKS]]
    more = f"  and {len(stacks) - _STACKS} more\n" if len(stacks) > _STACKS else ""
    return f"{arn}\n{''.join(shown)}{more}"


def _execution_of(task: Task) -> str | None:
    match place_of_other(task):
        case Branch() as branch:
            return branch.workflow.execution_arn
        case StepContext() as step:
            return step.execution_arn
        case None:
            return None


def _order(task: Task, arn: str) -> tuple[bool, int, str]:
    """Put the task of the workflow's function first. Tasks with Python's names, such as Task-12, follow as they were
    made."""
    name = task.get_name()
    return name != arn, len(name), name


def _where(task: Task, arn: str) -> str:
    name, place = task.get_name(), place_of_other(task)
    title = "the workflow" if name == arn else name
    operations = " > ".join(map(str, operations_of(task)))
    if isinstance(place, StepContext):  # the body may have started the task
        operations = operations or f"in Step {place.name or place.operation_id[:8]!r}"
        operations += f", attempt {place.attempt}"
    thread = in_thread_of(coroutines_of(task))
    waits = ", waits for a free worker thread" if thread is not None and not thread.has_begun else ""
    return f"{title}: {operations}{waits}" if operations else title


def _frames_of_waiting(task: Task) -> Iterator[FrameType]:
    yield from (frame for _, frame in coroutines_of(task))
    if (thread := in_thread_of(coroutines_of(task))) is not None:
        yield from _frames_until(thread.frame(), None)


def _frames_until(innermost: FrameType | None, outermost: FrameType | None) -> Iterator[FrameType]:
    """Return the frames of a thread, the outermost first."""
    frames: list[FrameType] = []
    while innermost is not None:
        frames.append(innermost)
        innermost = None if innermost is outermost else innermost.f_back
    yield from reversed(frames)
