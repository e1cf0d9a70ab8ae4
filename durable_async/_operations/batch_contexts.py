"""The child contexts of a batch's items: their identities, and how one of them runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

import attrs

from durable_async._engine.branches import Branch, Scope
from durable_async._engine.call import Call
from durable_async._operations.child import end_of_child, end_of_virtual_child
from durable_async._operations.values import serializer_context
from durable_async._wire.ids import operation_id
from durable_async._wire.operations import OperationType, SubType
from durable_async.batch_config import BatchConfig, NestingType
from durable_async.batch_result import BatchItem, BatchStatus
from durable_async.errors import ChildContextError
from durable_async.operation_config import ChildConfig
from durable_async.serializers._json.tree import encode

T = TypeVar("T")


@attrs.frozen(eq=False)
class Items(Generic[T]):
    """The items of a batch. Each function takes the index of an item.

    :ivar body: returns the coroutine of an item
    :ivar type: returns the type that an item's result is read as
    """

    count: int
    subtype: SubType
    body: Callable[[int], Awaitable[T]]
    name: Callable[[int], str | None]
    type: Callable[[int], object]


class Contexts(Generic[T]):
    """The contexts of a batch's items.

    :ivar scope: all of them are in it
    """

    def __init__(self, call: Call, items: Items[T], config: BatchConfig) -> None:
        self.call = call
        self.items = items
        self.config = config
        self.scope: Scope = Scope.inside(call.scope, call.id)
        self._item_config = ChildConfig(serializer=config.item_serializer)
        self._end = end_of_virtual_child if config.nesting is NestingType.FLAT else end_of_child

    def call_of(self, index: int) -> Call:
        batch = self.call
        item_id = operation_id(batch.id, index)
        branch = Branch(batch.branch.workflow, self.scope, item_id)
        name = self.items.name(index)
        return Call(batch.journal, branch, item_id, OperationType.CONTEXT, self.items.subtype, name)

    async def run(self, index: int, call: Call) -> tuple[BatchItem[T], str]:
        """Run an item, or read its end. Return the item, and its result as the batch's record has it."""
        body = partial(self.items.body, index)
        described = serializer_context(call, returns=self.items.type(index))
        try:
            ended = await self._end(call, body, self._item_config, described)
        except ChildContextError as error:
            return BatchItem(index, BatchStatus.FAILED, None, error, call.name), "null"
        finally:
            call.forget()
        result = ended.payload if self.config.item_serializer is None else encode(ended.payload)
        return BatchItem(index, BatchStatus.SUCCEEDED, ended.value, None, call.name), result

    def started(self, index: int) -> BatchItem[T]:
        """Return an item that has not ended."""
        return BatchItem(index, BatchStatus.STARTED, name=self.items.name(index))
