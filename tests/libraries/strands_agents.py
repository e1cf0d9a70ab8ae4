"""Agents of strands: a model that asks for several tools at once, as plain call, as stream and as graph."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from strands import Agent, ToolContext, tool
from strands.models import Model
from strands.multiagent import GraphBuilder

from durable_async import require_context

from .playing import LibraryPlay, answer_from_outside, playing, program, step, step_at


class DurableModel(Model):
    """Records each answer of the model, under the name of its agent and the length of the conversation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def update_config(self, **config: Any) -> None: ...
    def get_config(self) -> Any:
        return {}

    def structured_output(self, *_: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *_: Any, **options: Any) -> AsyncGenerator[Any, None]:
        key = f"{self.name} {len(messages)}"

        async def body() -> list[dict[str, Any]]:
            await play.work(key)
            return self.answer(messages)

        play = playing()
        for event in await require_context().at(key).step(body, name=key):
            yield event

    def answer(self, messages: Any) -> list[dict[str, Any]]:
        said = [block["toolResult"] for block in messages[-1]["content"] if "toolResult" in block]
        events: list[dict[str, Any]] = [{"messageStart": {"role": "assistant"}}]
        if said:
            text = f"{self.name}: {sorted(each['content'][0]['text'] for each in said)}"
            events += [
                {"contentBlockStart": {"start": {}}},
                {"contentBlockDelta": {"delta": {"text": text}}},
                {"contentBlockStop": {}},
            ]
            return [*events, {"messageStop": {"stopReason": "end_turn"}}]
        for name in ("weather", "price", "approval"):
            use = {"name": name, "toolUseId": f"{self.name}-{name}"}
            events += [
                {"contentBlockStart": {"start": {"toolUse": use}}},
                {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps({"topic": self.name})}}}},
                {"contentBlockStop": {}},
            ]
        return [*events, {"messageStop": {"stopReason": "tool_use"}}]


@tool(context=True)
async def weather(topic: str, tool_context: ToolContext) -> str:
    """Weather."""
    return await step_at(tool_context.tool_use["toolUseId"], f"weather of {topic}")


@tool(context=True)
async def price(topic: str, tool_context: ToolContext) -> str:
    """Price."""
    return await step_at(tool_context.tool_use["toolUseId"], f"price of {topic}")


@tool(context=True)
async def approval(topic: str, tool_context: ToolContext) -> str:
    """Approval."""
    return await answer_from_outside(tool_context.tool_use["toolUseId"], f"approval of {topic}")


def agent(name: str) -> Agent:
    return Agent(model=DurableModel(name), tools=[weather, price, approval], callback_handler=None, name=name)


@program
async def plain(play: LibraryPlay) -> Any:
    return str(await agent("main").invoke_async("How is Oslo?"))


@program
async def streamed(play: LibraryPlay) -> Any:
    seen = []
    async for event in agent("main").stream_async("How is Oslo?"):
        if "message" in event:
            play.saw(event["message"]["role"])
            seen.append(await step(f"show {len(seen)} {event['message']['role']}"))
    return seen


@program
async def graph(play: LibraryPlay) -> Any:
    builder = GraphBuilder()
    for name in ("first", "left", "right", "last"):
        builder.add_node(agent(name), name)
    for name in ("left", "right"):
        builder.add_edge("first", name)
        builder.add_edge(name, "last")
    result = await builder.build().invoke_async("How is Oslo?")
    order = [node.node_id for node in result.execution_order]
    play.saw(order)
    return [order, [str(result.results[name].result) for name in order]]
