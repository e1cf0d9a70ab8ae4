"""The configuration of ``ctx.map`` and ``ctx.parallel``. Each value is checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Self

import attrs

from durable_async._counts import checked_count
from durable_async._options import Options, instance_of, member
from durable_async.batch_result import BatchResult, BatchStatus
from durable_async.config import check_serializer, optional_function
from durable_async.serializers import Serializer


class NestingType(StrEnum):
    """Whether each item of a batch is recorded as an operation."""

    NESTED = "NESTED"
    """Each item is recorded: a replay does not run a finished item again."""
    FLAT = "FLAT"
    """Items are not recorded; their operations are children of the batch. This saves two updates for each item. Until
    the batch has ended, each replay runs the functions of the items again over their recorded operations."""


@attrs.frozen
class BatchProgress:
    """The state of a batch, as a custom completion gets it.

    :ivar total: the number of items given, started or not
    :ivar statuses: the status of each item, by index; None if it was not started. This list changes with the batch
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
        if value is not None:
            checked_count(attribute.name, value, minimum)

    return check


def _nesting(value: NestingType) -> NestingType:
    return member(NestingType, value)


def _percentage(_: object, attribute: attrs.Attribute[float | None], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be a number, not {value!r}")
    if not 0 <= value <= 100:
        raise ValueError(f"{attribute.name} must be from 0 to 100, not {value}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CompletionConfig(Options):
    """When a batch ends before all of its items have ended.

    Without a criterion, the first failure ends it. With ``min_successful`` alone, no failure ends it.

    :ivar min_successful: end when this number of items have succeeded; at least 1
    :ivar tolerated_failures: end when more items than this have failed; at least 0
    :ivar tolerated_failure_percentage: end when more than this percentage of all items given have failed; 0
        to 100
    :ivar custom: called before the first item is started, and each time that one has ended. It returns None to
        continue, or ``BatchStatus.SUCCEEDED`` or ``BatchStatus.FAILED`` to end the batch with this status. Excludes
        the other criteria. A replay in the middle of a batch calls it again, so it must depend on its argument alone
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
            raise ValueError("a custom completion excludes the other criteria: it gets all the counts itself")

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
        """End when all items have ended, even if some failed."""
        return cls(tolerated_failure_percentage=100)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BatchConfig(Options):
    """What :class:`MapConfig` and :class:`ParallelConfig` have in common.

    :ivar max_concurrency: how many items may run at once, including those that wait for the service; at least 1.
        None: no limit
    :ivar completion: when the batch ends early. Without criteria: with the first failure. The official SDKs differ
        here: the one for Java lets all items end
    :ivar nesting: whether each item is an operation in the record
    :ivar serializer: writes and reads the whole :class:`~durable_async.BatchResult`. None: JSON
    :ivar item_serializer: writes and reads the result of each item. None: JSON, even if there is a ``serializer``
    :ivar summary: text to record with a batch whose result is over 256 KiB, for people to read. Such a result is not
        recorded: a replay builds it again from the records of the items
    :raises TypeError, ValueError: a value is of the wrong type or out of bounds
    """

    max_concurrency: int | None = attrs.field(default=None, validator=_whole(1))
    completion: CompletionConfig = attrs.field(factory=CompletionConfig, validator=instance_of(CompletionConfig))
    nesting: NestingType = attrs.field(default=NestingType.NESTED, converter=_nesting)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    item_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    summary: Callable[[BatchResult[Any]], str] | None = attrs.field(default=None, validator=optional_function("result"))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ParallelConfig(BatchConfig):
    __doc__ = BatchConfig.__doc__


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MapConfig(BatchConfig):
    """How a map is done and recorded. The other fields are those of :class:`ParallelConfig`.

    :ivar item_namer: ``item_namer(item, index)`` names an item in the history. It is called for each item on each
        replay, and names are compared; without one, an item is ``map-item-<index>``
    """

    item_namer: Callable[[Any, int], str] | None = attrs.field(
        default=None, validator=optional_function("item", "index")
    )
