"""What waits for the outside world: callbacks, other functions, conditions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar, overload

import attrs

from durable_async.arguments import check_config, check_decider, check_function
from durable_async.config import CallbackConfig, InvokeConfig, WaitForCallbackConfig, WaitForConditionConfig
from durable_async.context.contexts import Contexts
from durable_async.context.handle import checked_name, described, name_of
from durable_async.operations.callback import Callback, create_callback
from durable_async.operations.condition import run_condition
from durable_async.operations.invoke import run_invoke
from durable_async.operations.wait_for_callback import run_wait_for_callback
from durable_async.serializers import NO_TYPE
from durable_async.wait_strategy import WaitStrategy, WaitStrategyLike
from durable_async.wire.operations import OperationType, SubType

T = TypeVar("T")
StateT = TypeVar("StateT")

_DEFAULT_CALLBACK = CallbackConfig()
_DEFAULT_WAIT_FOR_CALLBACK = WaitForCallbackConfig()
_DEFAULT_INVOKE = InvokeConfig()
_DEFAULT_CONDITION = WaitForConditionConfig()


class Callbacks(Contexts):
    @overload
    def create_callback(
        self, *, name: str | None = None, key: str | None = None, config: CallbackConfig | None = ..., returns: type[T]
    ) -> Coroutine[Any, Any, Callback[T]]: ...
    @overload
    def create_callback(
        self,
        *,
        name: str | None = None,
        key: str | None = None,
        config: CallbackConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, Callback[Any]]: ...
    def create_callback(
        self,
        *,
        name: str | None = None,
        key: str | None = None,
        config: CallbackConfig | None = None,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, Callback[Any]]:
        """Get an id from the service that the outside world can answer to, and later await the answer:
        ``await callback.result()``. ``name`` and ``key`` are those of :meth:`step`.

        :param returns: the type to read the answer as, which is then JSON. Without it and without a serializer the
            answer is its text, whatever that is
        """
        config = check_config(config, _DEFAULT_CALLBACK)
        call = self._call(OperationType.CALLBACK, SubType.CALLBACK, checked_name(name), key)
        call.coroutine = create_callback(call, config, described(call, None, returns))
        return call.coroutine

    @overload
    def wait_for_callback(
        self,
        submitter: Callable[[str], Any],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: WaitForCallbackConfig | None = ...,
        returns: type[T],
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def wait_for_callback(
        self,
        submitter: Callable[[str], Any],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: WaitForCallbackConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, Any]: ...
    def wait_for_callback(
        self,
        submitter: Callable[[str], Any],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: WaitForCallbackConfig | None = None,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, Any]:
        """Hand out the id of a new callback by ``submitter(callback_id)``, and wait for the answer.

        The submitter is run as a step; what it returns is of no account. Without a retry strategy in ``config`` it is
        attempted as the handler's steps are that have no config. ``name``, ``key`` and ``returns`` are those
        of :meth:`create_callback`; without a name, it is the submitter's own.

        :param timeout: takes the place of the one in ``config``
        :raises TypeError: ``submitter`` cannot be called with an id, or ``config`` is no WaitForCallbackConfig
        :raises CallbackFailedError: the answer was a failure
        :raises CallbackTimeoutError: it did not come in time, or a heartbeat did not
        :raises CallbackSubmitterError: the submitter failed, and its retry strategy allows no further attempt
        """
        check_function(submitter, 1, "ctx.wait_for_callback")
        config = check_config(config, _DEFAULT_WAIT_FOR_CALLBACK)
        if timeout is not None:
            config = attrs.evolve(config, timeout=timeout)
        call = self._call(OperationType.CONTEXT, SubType.WAIT_FOR_CALLBACK, name_of(name, submitter), key)
        call.coroutine = run_wait_for_callback(
            call, self._call, submitter, config, described(call, None, returns), step_config=self._step_config
        )
        return call.coroutine

    @overload
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: InvokeConfig | None = ...,
        returns: type[T],
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: InvokeConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, Any]: ...
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: InvokeConfig | None = None,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, Any]:
        """Run another function, durable or not, and wait for its result. ``name`` and ``key`` are those of
        :meth:`step`.

        :param function_name: a name or an ARN in this account and Region. A durable function needs a qualifier:
            ``"ship:$LATEST"``
        :param payload: the function's event
        :param returns: the type to read the result as; without it, plain JSON
        :raises InvokeFailedError: the function failed, or there is none of this name
        :raises InvokeTimeoutError: its execution ran into its timeout
        :raises InvokeStoppedError: its execution was stopped
        :raises PayloadTooLargeError: the payload is larger than the service accepts
        :raises SerializationError: the payload cannot be written, or the result not be read as the type asked for
        """
        if not isinstance(function_name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"function_name must be the name or ARN of a function, not {function_name!r}")
        if not function_name:
            raise ValueError("function_name must not be empty")
        config = check_config(config, _DEFAULT_INVOKE)
        call = self._call(OperationType.CHAINED_INVOKE, SubType.CHAINED_INVOKE, checked_name(name), key)
        call.coroutine = run_invoke(call, function_name, payload, config, described(call, None, returns))
        return call.coroutine

    @overload
    def wait_for_condition(
        self,
        check: Callable[[StateT], Awaitable[StateT]],
        initial_state: StateT,
        strategy: WaitStrategyLike[StateT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: WaitForConditionConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, StateT]: ...
    @overload
    def wait_for_condition(
        self,
        check: Callable[[StateT], StateT],
        initial_state: StateT,
        strategy: WaitStrategyLike[StateT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: WaitForConditionConfig | None = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, StateT]: ...
    def wait_for_condition(
        self,
        check: Callable[[Any], Any],
        initial_state: Any,
        strategy: WaitStrategyLike[Any],
        *,
        name: str | None = None,
        key: str | None = None,
        config: WaitForConditionConfig | None = None,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, Any]:
        """Check a state until ``strategy`` is content with it, and return it.

        ``check(state)`` returns the next state, which is recorded, and the strategy is asked about it: whether to
        stop, and if not, how long the service waits before the next check. As the body of a step, a check runs on the
        event loop or in a worker thread, can ask for its :func:`~durable_async.current_step`, and is repeated if it
        was interrupted. ``name`` and ``key`` are those of :meth:`step`.

        :param initial_state: what the first check gets
        :param strategy: a :class:`~durable_async.WaitStrategy` or a function ``(state, attempt) -> WaitDecision``
        :param returns: the type to read states as; without it, the return annotation of ``check``
        :raises TypeError: ``check`` cannot be called with a state, or ``config`` is no WaitForConditionConfig
        :raises WaitForConditionError: the strategy allows no further check, or a check raised, which is final
        """
        check_function(check, 1, "ctx.wait_for_condition")
        _check_strategy(strategy)
        config = check_config(config, _DEFAULT_CONDITION)
        call = self._call(OperationType.STEP, SubType.WAIT_FOR_CONDITION, name_of(name, check), key)
        call.coroutine = run_condition(
            call, check, initial_state, strategy, config=config, described=described(call, check, returns)
        )
        return call.coroutine


def _check_strategy(strategy: object) -> None:
    if isinstance(strategy, type) or not (isinstance(strategy, WaitStrategy) or callable(strategy)):
        raise TypeError(f"strategy must be a WaitStrategy or a function (state, attempt), not {strategy!r}")
    if not isinstance(strategy, WaitStrategy):
        check_decider(strategy, ("state", "attempt"), "strategy")
