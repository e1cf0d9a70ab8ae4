"""How an invocation can end."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from durable_async._engine.failures import Verdict, verdict
from durable_async._engine.flusher import TokenWithdrawn
from durable_async.errors import ServiceCallError


@attrs.frozen(eq=False, repr=False)
class Returned:
    """The workflow's coroutine returned."""

    value: Any


@attrs.frozen(eq=False, repr=False)
class _Caused:
    error: BaseException


class Failed(_Caused):
    """The execution fails with ``error``: the workflow raised it, or what it asks for can never succeed."""

    __slots__ = ()


class Broken(_Caused):
    """The service could not be reached or did not answer: the invocation has to be repeated."""

    __slots__ = ()


class Exited(_Caused):
    """The workflow's code asked for the end of the program."""

    __slots__ = ()


class Suspended:
    """Nothing can progress until the service invokes again."""

    __slots__ = ()


class Superseded:
    """The invocation may not write any more; what it answers is ignored or means no more than "not finished"."""

    __slots__ = ()


Outcome = Returned | Failed | Suspended | Superseded | Broken | Exited
Ending = Failed | Suspended | Superseded | Broken | Exited


def of_workflow(ended: asyncio.Task[Any]) -> Outcome:
    """What the end of the workflow's task means. A cancellation that somebody asked for decides nothing: only what
    the workflow raised itself, as when it awaits a task that it has cancelled, is its own end."""
    if ended.cancelled() and ended.cancelling():
        reason = "the workflow's task was cancelled, and not by its suspension; the invocation is repeated"
        return Broken(RuntimeError(reason))
    if ended.cancelled():
        return Failed(asyncio.CancelledError("the workflow cancelled itself"))
    error = ended.exception()
    return Returned(ended.result()) if error is None else Failed(error)


def of_flusher(ended: asyncio.Task[None]) -> Ending:
    """What the end of the flusher's task means."""
    error = ended.exception()
    match error:
        case TokenWithdrawn():
            return Superseded()
        case ServiceCallError():
            match verdict(error):
                case Verdict.FAIL:
                    return Failed(error)
                case Verdict.END:
                    return Superseded()
                case Verdict.RAISE | Verdict.WAIT:
                    return Broken(error)
        case _:
            return Broken(error or AssertionError("the flusher returned"))
