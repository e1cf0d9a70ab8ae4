"""What every part of a context needs: the invocation behind it, and how a call is claimed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from durable_async.config import StepConfig
from durable_async.engine.branches import Branch, calling_branch, current
from durable_async.engine.call import Call
from durable_async.engine.invocation import Invocation
from durable_async.logs import DurableLogger
from durable_async.serializers import NO_TYPE, SerializerContext, return_type
from durable_async.wire.limits import NAME_LENGTH
from durable_async.wire.operations import OperationType, SubType


class Handle:
    """:ivar logger: adds the execution to its records, and is silent while the calling context replays"""

    def __init__(self, invocation: Invocation, step_config: StepConfig) -> None:
        self._invocation = invocation
        self._step_config = step_config
        self.logger: DurableLogger = DurableLogger(self._log_fields, self._is_silent)

    @property
    def execution_arn(self) -> str:
        """Identifies the execution. Opaque: not every service gives an ARN in Amazon's form."""
        return self._invocation.execution_arn

    @property
    def lambda_context(self) -> Any:
        """The context object that the Lambda runtime gives to the invocation; None elsewhere."""
        return self._invocation.lambda_context

    @property
    def is_replaying(self) -> bool:
        """Whether the calling context has finished operations on record that the workflow has not come by yet."""
        return self._invocation.record.is_replaying(self._branch().scope.id)

    def now(self) -> datetime:
        """The time of the last recorded end of an operation that the calling branch has come by, or of the
        execution's start. The same on every replay; aware, in UTC. Costs no operation."""
        latest = self._branch().latest or self._invocation.started_at()
        return datetime.fromtimestamp(round(latest, 3), UTC)

    def uuid(self) -> UUID:
        """A UUID (version 4 in form) derived from the execution and the position of the call. The same on every
        replay. Costs no operation."""
        return UUID(int=self.random().getrandbits(128), version=4)

    def random(self) -> Random:
        """A generator seeded from the execution and the position of the call. The same on every replay, and not for
        secrets. Costs no operation."""
        return Random(f"{self.execution_arn}\n{self._branch().claim_value()}")  # noqa: S311 - documented

    def _branch(self) -> Branch:
        return calling_branch(self._invocation.workflow)

    def _call(self, kind: OperationType, subtype: SubType, name: str | None, key: str | None = None) -> Call:
        """To be called by the public method itself: the caller's line is taken two frames up."""
        if self._invocation.decided():  # the call will be refused when it is awaited, wherever it comes from
            return Call(self._invocation, Branch(self._invocation.workflow), "", kind, subtype, name)
        branch = self._branch()
        frame = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        call = Call(self._invocation, branch, branch.claim(key), kind, subtype, name, None, frame.f_code, frame.f_lasti)
        branch.scope.unstarted[call] = None
        return call

    def _log_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"executionArn": self.execution_arn}
        here = current()
        parent_id = here.scope.id if isinstance(here, Branch) else None
        if parent_id is not None:
            fields["parentId"] = parent_id
        return fields

    def _is_silent(self) -> bool:
        here = current()
        return isinstance(here, Branch) and self._invocation.record.is_replaying(here.scope.id)


def described(call: Call, func: Callable[..., Any] | None, returns: Any = NO_TYPE) -> SerializerContext:
    """Whose value it is, and what it is to be read as: ``returns``, or what ``func`` is annotated to return."""
    if returns is NO_TYPE and func is not None:
        returns = return_type(func)
    return SerializerContext(call.invocation.execution_arn, call.id, call.name, returns)


def name_of(name: str | None, func: Callable[..., Any]) -> str | None:
    """The name given, or the function's own."""
    if name is not None:
        return checked_name(name)
    while isinstance(func, partial):
        func = func.func
    own: object = getattr(func, "__name__", None)
    if not isinstance(own, str) or own == "<lambda>":
        return None
    return own if own.isascii() else own.encode("ascii", "backslashreplace").decode()


def checked_name(name: str | None) -> str | None:
    """:raises ValueError: the service would refuse the name"""
    if name and not (len(name) <= NAME_LENGTH and name.isascii() and name.isprintable()):
        raise ValueError(
            f"the name {name!r} of an operation is not printable ASCII of at most {NAME_LENGTH} characters, which is "
            "all that the durable service takes"
        )
    return name or None
