"""Decides whether an execution runs the code from before a change or the code after it.

Lambda has no operation for this, so the answer "after" is recorded as a step, the marker. Its identity derives from the
patch and not from a position, so the operations around it keep theirs. "Before" needs no record: it is the answer as
long as an operation is recorded that the branch reaches only after this place.
"""

from __future__ import annotations

from durable_async._engine.branches import Branch
from durable_async._engine.call import Call
from durable_async._engine.record import Record
from durable_async._wire.ids import operation_id, task_branch
from durable_async._wire.operations import TERMINAL, Action
from durable_async._wire.patches import PAYLOAD

_CALLS_AHEAD = 4
_TASKS_AHEAD = 4
_DEPTH = 2  # tasks in tasks


async def run_patched(call: Call, patch: str) -> bool:
    """Return whether the new code is to be run: True if it was before, or if nothing after this place is recorded."""
    record = await call.read(start=True, at_once=True, until_expired=True)
    branch = call.branch
    if branch.patches is None:
        branch.patches = {}
    if patch in branch.patches:
        return branch.patches[patch]
    answer = record is not None or not _has_passed(branch, call.journal.record)
    if answer:
        if record is None:
            call.post(Action.START)
        if record is None or record["Status"] not in TERMINAL:
            call.post(Action.SUCCEED, Payload=PAYLOAD)
    branch.patches[patch] = answer
    return answer


def _has_passed(branch: Branch, record: Record) -> bool:
    """Return whether the record holds an operation that ``branch`` calls after the place where it is now."""
    if _is_recorded(record, branch.prefix, branch.counts(), _DEPTH):
        return True
    scope = branch.scope
    if any(record.get(call.id) is not None for call in scope.unstarted if call.branch is branch):
        return True  # it was called before this place, and is awaited after it
    is_flat = scope.parent is not None and scope.parent.id == scope.id  # and has no operations of its own
    if branch.creator is not None or branch.counts()[1] or is_flat:
        return False  # what is left on record may be another task's
    calls, _ = branch.counts()
    left = record.ends_left.get(scope.id, set())
    return bool(left) and not left <= {operation_id(branch.prefix, number) for number in range(1, calls + 1)}


def _is_recorded(record: Record, prefix: str, counts: tuple[int, int], depth: int) -> bool:
    """Return whether one of the next operations is on record, of the branch or of the tasks that it starts next."""
    calls, tasks = counts
    ahead = (operation_id(prefix, calls + number) for number in range(1, _CALLS_AHEAD + 1))
    if any(record.get(each) is not None for each in ahead):
        return True
    started = (task_branch(prefix, tasks + number) for number in range(1, _TASKS_AHEAD + 1) if depth)
    return any(_is_recorded(record, each, (0, 0), depth - 1) for each in started)
