"""Workflows of llama-index: steps that events start, several at once, collected and streamed."""

from __future__ import annotations

from typing import Any

from workflows import Context, Workflow
from workflows import step as workflow_step
from workflows.events import Event, StartEvent, StopEvent

from .playing import LibraryPlay, answer_from_outside, program, step, step_at


class Search(Event):
    query: str


class Found(Event):
    what: str


class Progress(Event):
    text: str


class Researches(Workflow):
    @workflow_step
    async def plan(self, context: Context, event: StartEvent) -> Search | None:
        for n in range(int(await step_at("plan", "plan", "4"))):
            context.send_event(Search(query=f"query {n}"))
        return None

    @workflow_step(num_workers=3)
    async def search(self, context: Context, event: Search) -> Found:
        found = await step_at(event.query, event.query)
        if found.endswith("1"):
            found += await answer_from_outside(f"approve {found}", f"approval of {found}")
        context.write_event_to_stream(Progress(text=found))
        return Found(what=await step_at(f"again {event.query}", f"{found} again"))

    @workflow_step
    async def gather(self, context: Context, event: Found) -> StopEvent | None:
        found = context.collect_events(event, [Found] * 4)
        if found is None:
            return None
        return StopEvent(result=await step_at("summary", " / ".join(each.what for each in found)))


@program
async def plain(play: LibraryPlay) -> Any:
    return await Researches(timeout=None).run()


@program
async def streamed(play: LibraryPlay) -> Any:
    handler = Researches(timeout=None).run()
    async for event in handler.stream_events():
        if isinstance(event, Progress):
            play.saw(event.text)
            await step(f"show {event.text}")
    return await handler


class ByPosition(Researches):
    @workflow_step
    async def plan(self, context: Context, event: StartEvent) -> Search | None:
        await step("plan")
        for n in range(4):
            context.send_event(Search(query=f"query {n}"))
        return None

    @workflow_step(num_workers=3)
    async def search(self, context: Context, event: Search) -> Found:
        return Found(what=await step(event.query) + await step(f"{event.query} again"))

    @workflow_step
    async def gather(self, context: Context, event: Found) -> StopEvent | None:
        found = context.collect_events(event, [Found] * 4)
        return None if found is None else StopEvent(result=await step(" / ".join(each.what for each in found)))


@program
async def by_position(play: LibraryPlay) -> Any:
    return await ByPosition(timeout=None).run()
