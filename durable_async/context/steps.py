"""Steps and waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Never, TypeVar, TypeVarTuple, overload

from durable_async.arguments import check_config, check_function, check_keywords
from durable_async.callables import accepts_plainly
from durable_async.config import StepConfig, duration_seconds
from durable_async.context.handle import Handle, checked_name, described, name_of
from durable_async.operations.step import run_step
from durable_async.operations.wait import run_wait
from durable_async.serializers import NO_TYPE
from durable_async.wire.operations import OperationType, SubType

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Steps(Handle):
    @overload
    def step(
        self,
        func: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        func: Callable[[*Ts], T],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self,
        func: Callable[[*Ts], Any],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = None,
        returns: Any = NO_TYPE,
        **keywords: Never,
    ) -> Coroutine[Any, Any, Any]:
        """Run ``func(*args)`` once and record its result.

        A coroutine function runs on the event loop, and so does a function that is annotated to return an awaitable.
        Any other function runs in a worker thread. What is returned has been through the record: it is what a replay
        returns. The body can ask :func:`~durable_async.current_step` for its
        attempt, logger and idempotency key; durable operations cannot be called in it.

        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the function's own name
        :param key: an identity by meaning rather than by position, such as an order number: unique among the calls
            of one context or task. A call with a key finds its record after the code around it was reordered
        :param config: None: the handler's own, ``@durable_execution(step=...)``
        :param returns: the type to read the result as; without it, the return annotation of ``func``
        :raises TypeError: ``func`` cannot be called with ``args``, or ``config`` is no StepConfig
        :raises StepError: the step failed, and its retry strategy allows no further attempt
        :raises SerializationError: the recorded result cannot be read as the type asked for
        """
        if keywords:
            check_keywords(keywords, func, "ctx.step")
        if not accepts_plainly(func, len(args)):
            check_function(func, len(args), "ctx.step")
        if config is None:
            config = self._step_config
        elif type(config) is not StepConfig:
            config = check_config(config, self._step_config, "config=StepConfig(retry_strategy=...)")
        call = self._call(OperationType.STEP, SubType.STEP, name_of(name, func), key)
        call.coroutine = run_step(call, partial(func, *args), config, described(call, func, returns))
        return call.coroutine

    def wait(
        self, duration: timedelta, *, name: str | None = None, key: str | None = None
    ) -> Coroutine[Any, Any, None]:
        """Go on after ``duration``, during which no process has to live.

        :param duration: more than zero and at most 366 days; rounded up to whole seconds
        :raises ValueError: the duration is out of bounds; :raises TypeError: it is no ``timedelta``
        """
        seconds = duration_seconds(duration, what="the duration of a wait")
        call = self._call(OperationType.WAIT, SubType.WAIT, checked_name(name), key)
        call.coroutine = run_wait(call, seconds)
        return call.coroutine
