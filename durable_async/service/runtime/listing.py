"""Lists executions by pages, and waits until a list changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress

import attrs

from durable_async.service.machine import ExecutionStatus
from durable_async.service.model import arns
from durable_async.service.model.errors import DamagedExecutionError
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.inputs import page_length, page_start
from durable_async.service.runtime.listeners import ANY, Listeners
from durable_async.service.runtime.views import Counts, ExecutionSummary, Page, open_details, with_digest
from durable_async.service.store import ExecutionQuery, Store, Summary

_LIST_PAUSE = 0.5  # seconds; a list that is waited for is not read more often, however much changes


@attrs.frozen
class Lists:
    """The lists of one service's executions."""

    store: Store
    listeners: Listeners
    commands: Commands

    async def page(self, query: ExecutionQuery, *, include_waiting_for: bool) -> Page[ExecutionSummary]:
        """Return a page of one execution less than ``query`` asks for."""
        found = await self.store.executions(query)
        count = query.count - 1
        marker = str(found[count - 1].position) if len(found) > count else None
        summaries = [*_readable(found[:count])]
        if include_waiting_for:
            summaries = [await self._with_details(summary) for summary in summaries]
        return Page(summaries, marker)

    async def _with_details(self, summary: ExecutionSummary) -> ExecutionSummary:
        reference = arns.parse_execution(summary.arn)
        if not summary.status.open or reference is None:
            return summary
        try:
            execution = await self.store.load(reference.id)
        except DamagedExecutionError:
            return summary  # a list shows as much as can be read
        if execution is None or not execution.open:
            return summary
        return attrs.evolve(summary, details=open_details(execution))

    async def counts(self, query: ExecutionQuery) -> Counts:
        """Return how many executions each function has in each status, without functions that have none."""
        counts: Counts = {}
        for found in await self.store.counts(query):
            with suppress(ValueError):  # a damaged row, see ``_readable``
                status = ExecutionStatus(found.status)
                counts.setdefault(found.function_name, {})[status] = found.executions
        return counts

    async def changed(
        self, query: ExecutionQuery, known: str | None, seconds: float, *, include_waiting_for: bool
    ) -> Page[ExecutionSummary]:
        """Return a page with its digest, as soon as that is not ``known``, or after some seconds.

        :raises ServiceClosedError: the service shuts down before
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        with self.listeners.watching(ANY) as news:
            while True:
                news.clear()
                page = with_digest(await self.page(query, include_waiting_for=include_waiting_for))
                if page.digest != known or loop.time() >= ends:
                    return page
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(ends):
                        await news.wait()
                        await asyncio.sleep(_LIST_PAUSE)
                self.commands.check_open()


def _readable(found: Iterable[Summary]) -> Iterator[ExecutionSummary]:
    """Yield the executions whose rows can be read. ``durable-async doctor`` lists the others, and so does the log of
    the service that continues them.
    """
    for summary in found:
        with suppress(ValueError, TypeError, OverflowError):
            yield ExecutionSummary.of(summary)


def paged(query: ExecutionQuery, marker: str | None, max_items: int, *, oldest_first: bool) -> ExecutionQuery:
    """Ask for one execution more than the page has, so that it is known whether there is another page.

    :raises InvalidParameterValueError: ``marker`` or ``max_items`` is not valid
    """
    count = page_length(max_items) + 1
    return attrs.evolve(query, oldest_first=oldest_first, after=page_start(marker), count=count)
