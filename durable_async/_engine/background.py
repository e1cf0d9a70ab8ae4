"""Finds background tasks that a client started for the whole program when workflow code used it first.

Such a task must not end with the workflow, because that would break the client for all other code. Nor may a workflow
start it: on a replay the client has it already, so the tasks that the workflow starts next get other numbers.

These signs distinguish it from a helper task of the workflow, such as one that takes work from a queue:

- neither it nor a task that it started has made a durable call, and no other task waits for its end
- the object or module that its code belongs to refers to it
- no running code of the workflow has that object in a variable of its own, as it has a client that it opened itself

Where one of these is uncertain, the task counts as the workflow's own and is cancelled with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from types import BuiltinMethodType, ModuleType
from typing import cast

from durable_async._engine.branches import Branch, LateBranch, Scope, Workflow
from durable_async._engine.isolation import coroutines_of
from durable_async._engine.tasks import Task
from durable_async.errors import ContextMisuseError

_MAX_ITEMS = 1000  # of a container that is searched
_DEPTH = 2  # of attributes: a client has a connection, which has the task
_CONTAINERS = (list, tuple, set, frozenset, deque)


def release_kept(workflow: Workflow, tasks: Iterable[tuple[Task, Branch]]) -> ContextMisuseError | None:
    """Let those of ``tasks`` continue that a client keeps for the whole program.

    :param tasks: of the workflow, with their branches; none of them has made a durable call
    :return: the error for the first of them; None: there are none
    """
    error: ContextMisuseError | None = None
    for task, branch in tasks:
        keeper = _keeper(task)
        if keeper is None or _is_awaited(task, branch, keeper) or _is_in_use(keeper, workflow):
            continue
        if not isinstance(branch, LateBranch):  # which has taken no number
            error = error or _error(task, keeper)
        for each, its_branch in [*workflow.tasks.items()]:
            if its_branch.is_within(branch):
                workflow.release(each)
    return error


def _keeper(task: Task) -> object | None:
    """Return what the task's code belongs to and what refers to the task: an object, or the dict of a module. None:
    nothing is both."""
    for _, frame in coroutines_of(task):
        value: object
        for value in frame.f_locals.values():
            if not _is_passed_through(value) and _refers(_attributes(value), task):
                return value
        if _refers(frame.f_globals.values(), task):
            return frame.f_globals
    return None


def _is_passed_through(value: object) -> bool:
    """Return whether it refers to tasks only for as long as they run in it, as a timeout, a cancel scope or a lock
    does."""
    package, _, _ = type(value).__module__.partition(".")
    return isinstance(value, Scope | Branch) or package in ("asyncio", "anyio")


def _is_awaited(task: Task, branch: Branch, keeper: object) -> bool:
    """Return whether anything besides the keeper is called at the task's end."""
    callbacks: Iterable[tuple[object, object]] = getattr(task, "_callbacks", None) or ()
    for callback, _ in callbacks:
        owner = getattr(callback, "__self__", None)
        if owner is branch or owner is keeper:
            continue
        if isinstance(callback, BuiltinMethodType) and isinstance(owner, (set, list, dict, deque)):
            continue
        return True
    return False


def _is_in_use(keeper: object, workflow: Workflow) -> bool:
    """Return whether running code of the workflow has it in a variable of its own, or in an object that it made.

    A variable of an enclosing function is not its own, and it did not make what an argument refers to.
    """
    for task, branch in workflow.tasks.items():
        if branch.creator and not branch.is_durable:
            continue
        for coro, frame in coroutines_of(task):
            code = coro.cr_code
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            for name, value in frame.f_locals.items():
                if name not in code.co_freevars and _reaches(value, keeper, 0 if name in arguments else _DEPTH):
                    return True
    return False


def _reaches(value: object, keeper: object, depth: int) -> bool:
    if value is keeper:
        return True
    return depth > 0 and any(_reaches(each, keeper, depth - 1) for each in _attributes(value))


def _attributes(value: object) -> Iterator[object]:
    if isinstance(value, (type, ModuleType, asyncio.Future)):
        return
    with suppress(TypeError):  # it has none
        yield from [*vars(value).values()]
    for kind in type(value).__mro__:
        slots: Iterable[str] = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            try:
                yield object.__getattribute__(value, name)
            except AttributeError:
                continue


def _refers(values: Iterable[object], task: Task) -> bool:
    for value in values:
        if value is task:
            return True
        if isinstance(value, (*_CONTAINERS, dict)):
            items = cast("Collection[object]", value)
            if len(items) <= _MAX_ITEMS and any(item is task for item in items):
                return True
        if isinstance(value, dict):
            held = cast("dict[object, object]", value)
            if len(held) <= _MAX_ITEMS and any(item is task for item in held.values()):
                return True
    return False


def _error(task: Task, keeper: object) -> ContextMisuseError:
    place = next(
        (f" at {coro.cr_code.co_filename}:{coro.cr_code.co_firstlineno}" for coro, _ in coroutines_of(task)), ""
    )
    name = getattr(task.get_coro(), "__qualname__", "")
    kept = f"a {type(keeper).__qualname__}"
    if isinstance(keeper, dict):
        kept = f"the module {cast('dict[str, object]', keeper).get('__name__')}"
    return ContextMisuseError(
        f"the workflow's code started the background task {task.get_name()!r} of {name}{place}, which {kept} keeps for "
        "longer than the workflow. A replay would not start it again, so it would number the workflow's tasks "
        "differently. "
        "Use the client inside a step, or open it before the workflow starts, or await or cancel the task before the "
        "workflow's next wait and before it returns"
    )
