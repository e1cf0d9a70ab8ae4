"""How ``ctx.map`` and ``ctx.parallel`` are to be done: values that are checked where they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Self

import attrs

from durable_async.batch_result import BatchResult, BatchStatus
from durable_async.config import check_serializer, optional_function
from durable_async.serializers import Serializer


class NestingType(StrEnum):
    """Whether each item of a batch is an operation of its own in the record."""

    NESTED = "NESTED"
    """It is: a finished item is not entered again on a replay."""
    FLAT = "FLAT"
    """It is not; its operations are children of the batch. Two updates an item are saved, and until the batch has
    ended, each replay runs the items' functions again over their recorded operations."""


@attrs.frozen
class BatchProgress:
    """How far a batch has come, as a custom completion is told.

    :ivar total: the items given, started or not
    :ivar statuses: of each item, by index: None if it was not started yet. The batch's own, which goes on with it
    """

    succeeded: int
    failed: int
    total: int
    statuses: Sequence[BatchStatus | None] = ()

    @property
    def completed(self) -> int:
        return self.succeeded + self.failed


def _whole(minimum: int) -> Callable[[object, attrs.Attribute[int | None], object], None]:
    def check(_: object, attribute: attrs.Attribute[int | None], value: object) -> None:
        if value is None:
            return
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{attribute.name} must be an int, not {value!r}")
        if value < minimum:
            raise ValueError(f"{attribute.name} must be at least {minimum}, not {value}")

    return check


def _percentage(_: object, attribute: attrs.Attribute[float | None], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a number, not {value!r}")
    if not 0 <= value <= 100:
        raise ValueError(f"{attribute.name} must be from 0 to 100, not {value}")


@attrs.frozen(kw_only=True)
class CompletionConfig:
    """When a batch ends before all of its items have.

    Without any criterion, the first failure ends it. With ``min_successful`` alone no failure does.

    :ivar min_successful: end when so many items have succeeded; at least 1
    :ivar tolerated_failures: end when more items than this have failed; at least 0
    :ivar tolerated_failure_percentage: end when more of all items given have failed, in percent, from 0 to 100
    :ivar custom: asked before the first item is started, and each time that one has ended: None to go on,
        ``BatchStatus.SUCCEEDED`` or ``BatchStatus.FAILED`` to end with that verdict. Excludes the other criteria.
        A replay in the middle of a batch asks anew, so it must depend on nothing but what it is told
    :raises TypeError, ValueError: a value is of the wrong type, out of bounds, or excludes another
    """

    min_successful: int | None = attrs.field(default=None, validator=_whole(1))
    tolerated_failures: int | None = attrs.field(default=None, validator=_whole(0))
    tolerated_failure_percentage: float | None = attrs.field(default=None, validator=_percentage)
    custom: Callable[[BatchProgress], BatchStatus | None] | None = attrs.field(
        default=None, validator=optional_function("progress")
    )

    def __attrs_post_init__(self) -> None:
        criteria = (self.min_successful, self.tolerated_failures, self.tolerated_failure_percentage)
        if self.custom is not None and any(criterion is not None for criterion in criteria):
            raise ValueError("a custom completion excludes the other criteria: it sees all that they see")

    @classmethod
    def first_successful(cls) -> Self:
        """End with the first success."""
        return cls(min_successful=1)

    @classmethod
    def all_successful(cls) -> Self:
        """End with the first failure."""
        return cls(tolerated_failures=0, tolerated_failure_percentage=0)

    @classmethod
    def all_completed(cls) -> Self:
        """Let every item end, whatever fails."""
        return cls(tolerated_failure_percentage=100)


@attrs.frozen(kw_only=True)
class BatchConfig:
    """What :class:`MapConfig` and :class:`ParallelConfig` have in common.

    :ivar max_concurrency: how many items may be in flight at once, those that wait included; at least 1. No limit
        without one
    :ivar completion: when the batch ends early; without criteria, with the first failure. Here the official SDKs
        differ: that for Java lets all items end
    :ivar nesting: whether each item is an operation in the record
    :ivar serializer: writes and reads the whole :class:`~durable_async.BatchResult`; JSON without one
    :ivar item_serializer: writes and reads the result of each item; JSON without one, even if there is a ``serializer``
    :ivar summary: text to record with a batch whose result is over 256 KiB, for people to read. Such a result is not
        recorded: a replay makes it anew from the records of the items
    :raises TypeError, ValueError: a value is of the wrong type or out of bounds
    """

    max_concurrency: int | None = attrs.field(default=None, validator=_whole(1))
    completion: CompletionConfig = attrs.field(
        factory=CompletionConfig, validator=attrs.validators.instance_of(CompletionConfig)
    )
    nesting: NestingType = attrs.field(default=NestingType.NESTED, converter=NestingType)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    item_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    summary: Callable[[BatchResult[Any]], str] | None = attrs.field(default=None, validator=optional_function("result"))


@attrs.frozen(kw_only=True)
class ParallelConfig(BatchConfig):
    __doc__ = BatchConfig.__doc__


@attrs.frozen(kw_only=True)
class MapConfig(BatchConfig):
    """How a map is done and recorded. The other fields are those of :class:`ParallelConfig`.

    :ivar item_namer: ``item_namer(item, index)`` names an item in the history. It is called for each item on each
        replay, and names are compared; without one, an item is ``map-item-<index>``
    """

    item_namer: Callable[[Any, int], str] | None = attrs.field(
        default=None, validator=optional_function("item", "index")
    )
