"""The configuration of the operations other than steps and batches.

It is apart from ``config``, which every invocation needs, so that a cold start does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs

import durable_async  # names in annotations: the package imports what it is asked for
from durable_async._durations import checked_timedelta, whole_seconds
from durable_async._options import Options, instance_of
from durable_async._wire.limits import CALLBACK_TIMEOUT_SECONDS, TENANT_PATTERN
from durable_async.config import check_serializer, optional_function, optional_strategy
from durable_async.serializers import Serializer


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChildConfig(Options):
    """How a child context is recorded.

    :ivar serializer: writes and reads the result. None: JSON
    :ivar summary: what to record in place of a result over 256 KiB, for people to read. Such a result is not recorded:
        a replay builds it again from the recorded operations of the context
    :ivar virtual: True: the context itself is not recorded, so its function runs on every replay and costs no
        checkpoint. Its operations are recorded as children of the context around it. It has a scope and, for plugins, a
        beginning and an end. False: it is recorded as one operation
    """

    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    summary: Callable[[Any], str] | None = attrs.field(default=None, validator=optional_function("result"))
    virtual: bool = attrs.field(default=False, kw_only=True)


def _callback_timeout(_: object, attribute: attrs.Attribute[timedelta | None], value: timedelta | None) -> None:
    if value is None:
        return
    checked_timedelta(attribute.name, value)
    if not timedelta(0) < value <= timedelta(seconds=CALLBACK_TIMEOUT_SECONDS):
        raise ValueError(
            f"{attribute.name} must be longer than zero and at most {CALLBACK_TIMEOUT_SECONDS} seconds, not {value}"
        )


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CallbackConfig(Options):
    """How long an answer to a callback may take, and how it is read. The service counts whole seconds.

    :ivar timeout: from the creation of the callback, up to 99,999,999 seconds (more than 3 years). None: no
        limit
    :ivar heartbeat_timeout: the longest time from the creation to the first heartbeat, and from each heartbeat to the
        next. None: no limit
    :ivar serializer: reads the text that was sent. None: the text is returned as it is, or is parsed as JSON into the
        type given by ``returns=``
    :raises TypeError: a value is of the wrong type
    :raises ValueError: a time is out of bounds
    """

    timeout: timedelta | None = attrs.field(default=None, validator=_callback_timeout)
    heartbeat_timeout: timedelta | None = attrs.field(default=None, validator=_callback_timeout)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)

    @property
    def timeout_seconds(self) -> int | None:
        """The timeout in whole seconds, rounded up."""
        return None if self.timeout is None else whole_seconds(self.timeout)

    @property
    def heartbeat_timeout_seconds(self) -> int | None:
        """The timeout in whole seconds, rounded up."""
        return None if self.heartbeat_timeout is None else whole_seconds(self.heartbeat_timeout)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitForCallbackConfig(CallbackConfig):
    """The config of a callback, and the retry strategy of the submitter.

    :ivar retry_strategy: of the step that calls the submitter, as in :class:`~durable_async.StepConfig`
    """

    retry_strategy: durable_async.StrategyLike | None = attrs.field(default=None, validator=optional_strategy)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class InvokeConfig(Options):
    """How another function is invoked.

    There is no timeout: the service has none for an invoke, and the function has its own. To limit the time, put the
    invoke in a block under ``ctx.timeout``; the invoked function then continues.

    :ivar tenant_id: for a function with tenant isolation: 1 to 256 letters, digits, spaces and characters of
        ``._:/=+-@``
    :ivar payload_serializer: writes the payload. None: JSON
    :ivar result_serializer: reads the result. None: JSON
    :ivar cancel_with_parent: True: if this execution is cancelled, or ends in any way, while the invoked execution is
        open, that one is cancelled. False: it continues. On Lambda, which cannot cancel, it continues in any case
    :raises TypeError: a value is of the wrong type
    :raises ValueError: the service would refuse the tenant id
    """

    tenant_id: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.matches_re(TENANT_PATTERN))
    )
    payload_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    result_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    cancel_with_parent: bool = attrs.field(default=False, validator=instance_of(bool))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitForConditionConfig(Options):
    """How the state of a condition is recorded.

    :ivar serializer: writes and reads the state. None: JSON
    """

    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
