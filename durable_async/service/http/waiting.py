"""Long polling: a request that says ``Prefer: wait=SECONDS`` (RFC 7240) may be answered when there is news.

An answer that was held back for that, or need not have been, says ``Preference-Applied``. Lambda does not know the
header, so a client that gets no such answer has to poll.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress

import attrs

from durable_async.service.http.answer import Answer
from durable_async.service.model.history import HistoryEvent
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.inputs import page_start
from durable_async.service.runtime.views import Page

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_MAX_SECONDS = 60  # proxies end requests that take longer


def seconds_to_wait(api: LambdaApi, headers: Mapping[str, str]) -> int | None:
    """Return how long the answer may take; None: the request does not say so.

    A passive service, which does not know what the process that writes its store does, ignores the header too.
    """
    asked = None if api.passive else _WAIT.search(headers.get("prefer", ""))
    return None if asked is None else min(int(asked[1]), _MAX_SECONDS)


def applied(answer: Answer, seconds: int | None) -> Answer:
    """Return the answer with a header that says how long it may have taken."""
    return answer if seconds is None else answer.with_headers({"Preference-Applied": f"wait={seconds}"})


async def closed_within(api: LambdaApi, arn: str, seconds: int | None) -> None:
    """Return when the execution is closed, or after ``seconds``; None: at once."""
    if seconds is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await api.wait(arn)


async def history_within(
    api: LambdaApi, arn: str, marker: str | None, seconds: int, read: Callable[[], Awaitable[Page[HistoryEvent]]]
) -> Page[HistoryEvent]:
    """Return the page that ``read`` reads when it has an event, when no more events come, or after ``seconds``.

    While the execution is open, the last page has a marker too, which asks for the events to come.
    """
    first = page_start(marker) or 1
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(api.events(arn, after=first - 1)) as events:
            await anext(events, None)
    goes_on = (await api.get_execution(arn)).ended is None
    page = await read()
    if page.next_marker is not None or not goes_on:
        return page
    return attrs.evolve(page, next_marker=str(page.items[-1].id + 1 if page.items else first))
