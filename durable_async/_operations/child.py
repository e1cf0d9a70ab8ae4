"""A child context: a function with operations of its own, recorded as one when it has ended."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

import attrs

from durable_async._arguments import awaitable
from durable_async._engine.branches import Scope
from durable_async._engine.call import Call
from durable_async._engine.calling import entered_scope
from durable_async._engine.isolation import isolated
from durable_async._operations.values import recorded, round_trip
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async._wire.operations import TERMINAL, Action, ContextDetails, Operation, OperationStatus, SubType
from durable_async._wire.text import utf8_size
from durable_async.errors import ChildContextError, NonDeterminismError, OperationLabel
from durable_async.operation_config import ChildConfig
from durable_async.serializers import SerializerContext

T = TypeVar("T")

_FRAMES = 8  # of the stack, for a child context that is awaited in another one
_FUNCTION = "the function of a context"
_ISOLATED = (SubType.MAP_ITERATION, SubType.PARALLEL_BRANCH)
"""The items of a batch, which runs each of them in context variables of its own, most of them in a task."""


@attrs.frozen
class Ended(Generic[T]):
    """How a child context returned: its value, and the text from which the value was read."""

    value: T
    payload: str


async def run_child(
    call: Call, body: Callable[[], Awaitable[T]], config: ChildConfig, described: SerializerContext
) -> T:
    """Return the value of a child context.

    :raises ChildContextError: the function raised; the error is built from the record, on the first run too
    """
    end = end_of_virtual_child if config.virtual else end_of_child
    return (await end(call, body, config, described)).value


async def end_of_child(
    call: Call, body: Callable[[], Awaitable[T]], config: ChildConfig, described: SerializerContext
) -> Ended[T]:
    """Run a child context that is recorded, or read its end.

    :raises ChildContextError: as :func:`run_child`
    """
    record = await call.read()
    if record is not None and record["Status"] in TERMINAL:
        return await _recorded_end(call, record, body, config, described)
    if record is None:
        call.post(Action.START)
    try:
        ended = await _through(call, await in_context(call, body), config, described)
        fits = utf8_size(ended.payload) <= CONTEXT_RESULT_BYTES
        text = ended.payload if fits else _summary(call, ended.value, config)
    except NonDeterminismError:
        raise  # it fails the execution, and says nothing about this context
    except Exception as error:  # noqa: BLE001 - whatever the function raises is the outcome of its context
        failure = call.error_object(error)
        if isinstance(error, RecursionError):
            failure["ErrorMessage"] = f"{failure.get('ErrorMessage')}{_of_nesting(call.scope)}"
        await call.commit(Action.FAIL, Error=failure)
        raise call.failure(ChildContextError, failure) from None
    await call.commit(Action.SUCCEED, Payload=text, ContextOptions={"ReplayChildren": not fits})
    return ended


async def _recorded_end(
    call: Call, record: Operation, body: Callable[[], Awaitable[T]], config: ChildConfig, described: SerializerContext
) -> Ended[T]:
    details: ContextDetails = record.get("ContextDetails") or {}
    if record["Status"] != OperationStatus.SUCCEEDED:
        raise call.failure(ChildContextError, details.get("Error") or {})
    if details.get("ReplayChildren"):
        # The result was too large to record; the children are there to make it from.
        return await _through(call, await in_context(call, body), config, described)
    payload = details.get("Result")
    value: T = await recorded(call, config.serializer, payload, described)
    return Ended(value, "null" if payload is None else payload)


async def end_of_virtual_child(
    call: Call, body: Callable[[], Awaitable[T]], config: ChildConfig, described: SerializerContext
) -> Ended[T]:
    """Run a child context that is not recorded: every replay enters it.

    :raises NonDeterminismError: it is recorded
    """
    if (record := await call.read(until_expired=True)) is not None:
        raise call.mismatch(OperationLabel(record["Type"], record.get("SubType"), record.get("Name")), flat(call))
    try:
        return await _through(call, await in_virtual_context(call, body), config, described)
    except NonDeterminismError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        raise call.failure(ChildContextError, call.error_object(error)) from None


def _of_nesting(scope: Scope) -> str:
    """Return a sentence for the message of a RecursionError if most of the stack is taken by contexts in contexts;
    else an empty text."""
    depth, around, limit = 1, scope.parent, sys.getrecursionlimit()
    while around is not None:
        depth, around = depth + 1, around.parent
    if depth * _FRAMES < limit / 2:
        return ""
    return (
        f". Child contexts are nested {depth} deep here, and each takes about {_FRAMES} of the {limit} frames that "
        "Python allows. Call them one after the other in a loop, or raise the limit with sys.setrecursionlimit"
    )


def flat(call: Call) -> OperationLabel:
    """Return the label of a context that is not recorded."""
    return OperationLabel(call.kind, f"flat {call.subtype}", call.name)


def in_context(call: Call, body: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    """Run ``body`` with identities of its own below the call's. When it ends nothing of it can write any more, and
    what it set in context variables is gone."""
    return _inside(call, Scope.inside(call.scope, call.id), body, on_record=True)


def in_virtual_context(call: Call, body: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    """Run ``body`` as :func:`in_context` does, in a context that is not recorded: its operations are children of the
    nearest one that is."""
    return _inside(call, Scope.inside(call.scope, call.scope.id), body, on_record=False)


async def _inside(call: Call, scope: Scope, body: Callable[[], Awaitable[T]], *, on_record: bool) -> T:
    with entered_scope(call.branch, scope, call.id):
        if (observer := call.journal.observer) is None:
            return await _called(call, body)
        with observer.user_function(call, recorded=on_record):
            return await _called(call, body)


def _called(call: Call, body: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    if (substitute := call.journal.substitute) is not None:
        body = partial(substitute, call, None, body, partial(_awaited, body))
    if call.subtype in _ISOLATED:
        return awaitable(body(), _FUNCTION)
    return isolated(lambda: awaitable(body(), _FUNCTION))


async def _awaited(body: Callable[[], Awaitable[T]]) -> T:
    return await awaitable(body(), _FUNCTION)


async def _through(call: Call, value: T, config: ChildConfig, described: SerializerContext) -> Ended[T]:
    """Return what a replay will read, on the first run too."""
    payload, back = await round_trip(call, config.serializer, value, described)
    return Ended(back, payload)


def _summary(call: Call, value: object, config: ChildConfig) -> str:
    return call.sized(copy_context().run(config.summary, value)) if config.summary else ""
