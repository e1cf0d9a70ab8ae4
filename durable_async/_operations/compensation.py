"""Compensations: what to undo when a block of a workflow fails, and what to clean up when it ends.

A ``finally`` block runs at each suspension. What is registered here runs once, at the logical end of the block, as
steps: after a crash in the middle the rest is still done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Never, Self, TypeVarTuple

import attrs

from durable_async._arguments import check_function, check_keywords
from durable_async._operations.one_block import OneBlock
from durable_async.config import StepConfig
from durable_async.serializers import NO_TYPE

Ts = TypeVarTuple("Ts")
Undo = Callable[[], Awaitable[object]]


@attrs.define(eq=False)
class Compensations:
    """What ``ctx.compensations`` returns: ``async with`` it.

    When the block raises, the compensations registered so far run, the last one first. However it ends, the clean-ups
    run after them, again the last one first. A failed one does not keep the others from running: its error is raised
    at the end, in an ``ExceptionGroup`` together with the block's own.

    A suspension does not end the block, nor does a cancellation, such as by a deadline or a failed sibling: put the
    block around those.
    """

    _step: Callable[..., Awaitable[object]]
    _compensations: list[Undo] = attrs.field(factory=list[Undo], init=False)
    _cleanups: list[Undo] = attrs.field(factory=list[Undo], init=False)
    _block: OneBlock = attrs.field(factory=lambda: OneBlock("ctx.compensations()"), init=False)

    def add(
        self,
        func: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> None:
        """Run ``func(*args)`` as a step if the block fails. The options are those of ``ctx.step``.

        :raises ContextMisuseError: the block has not begun, or has ended
        :raises TypeError: ``func`` cannot be called with ``args``, or a keyword is not an option of ``ctx.step``
        """
        self._check("add", func, args, keywords)
        step = partial(self._step, func, *args, name=name, key=key, config=config, returns=returns)
        self._compensations.append(step)

    def add_cleanup(
        self,
        func: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> None:
        """Run ``func(*args)`` as a step when the block ends, however it ends. The options are those of ``ctx.step``.

        :raises ContextMisuseError: the block has not begun, or has ended
        :raises TypeError: ``func`` cannot be called with ``args``, or a keyword is not an option of ``ctx.step``
        """
        self._check("add_cleanup", func, args, keywords)
        step = partial(self._step, func, *args, name=name, key=key, config=config, returns=returns)
        self._cleanups.append(step)

    def _check(
        self, method: str, func: Callable[..., object], args: tuple[object, ...], keywords: Mapping[str, object]
    ) -> None:
        """Refuse what cannot run as a step, and what would never run."""
        check_keywords(keywords, func, method, StepConfig)
        check_function(func, len(args), method)
        self._block.check_inside(method, "at whose end it would run")

    async def __aenter__(self) -> Self:
        self._block.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.leave()
        if error is not None and not isinstance(error, Exception):
            return
        todo = [*reversed(self._compensations)] if error is not None else []
        failures = [failure for undo in (*todo, *reversed(self._cleanups)) if (failure := await _run(undo)) is not None]
        if failures:
            errors = failures if error is None else [error, *failures]
            raise ExceptionGroup("compensation or clean-up failed", errors) from error


async def _run(step: Undo) -> Exception | None:
    try:
        await step()
    except Exception as failure:  # noqa: BLE001 - raised again, once the others have run
        return failure
    return None
