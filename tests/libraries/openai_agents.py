"""Agents of openai-agents: a model that asks for several tools at once, a sub-agent, a handoff, a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents import (
    Agent,
    GuardrailFunctionOutput,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
    function_tool,
    input_guardrail,
)
from agents.testing import assistant_message, function_call
from agents.tool_context import ToolContext
from openai.types.responses import Response, ResponseCompletedEvent

from durable_async import require_context

from .playing import LibraryPlay, answer_from_outside, playing, program, step, step_at

TOOLS = ("weather", "price", "approval", "research")


class DurableModel(Model):
    """Records each answer of the model, under the name of its agent and the length of the conversation."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002
        *rest: Any,
        **options: Any,
    ) -> ModelResponse:
        key = f"{self.name} {1 if isinstance(input, str) else len(input)}"

        async def body() -> ModelResponse:
            await play.work(key)
            return ModelResponse(answer(self.name, input), Usage(), None)

        play = playing()
        return await require_context().at(key).step(body, name=key)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002
        *rest: Any,
        **options: Any,
    ) -> AsyncIterator[Any]:
        response = await self.get_response(system_instructions, input, *rest, **options)
        for number, item in enumerate(response.output):
            from openai.types.responses import ResponseOutputItemDoneEvent

            yield ResponseOutputItemDoneEvent(
                item=item, output_index=number, sequence_number=number, type="response.output_item.done"
            )
        whole = Response(
            id="response",
            created_at=0,
            model="none",
            object="response",
            output=response.output,
            tool_choice="none",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(response=whole, sequence_number=len(response.output), type="response.completed")


def answer(agent: str, said_so_far: Any) -> list[Any]:
    said = (
        []
        if isinstance(said_so_far, str)
        else [item for item in said_so_far if item.get("type") == "function_call_output"]
    )
    if agent == "sub":
        if said:
            return [assistant_message("found")]
        return [function_call("look_up", {"topic": topic}, call_id=f"look up {topic}") for topic in ("snow", "rain")]
    if agent == "writer":
        return [assistant_message("written: " + " / ".join(str(item["output"]) for item in said))]
    if not said:
        return [function_call(tool, {"topic": "Oslo"}, call_id=f"call of {tool}") for tool in TOOLS]
    if len(said) == len(TOOLS):
        return [function_call("price", {"topic": said[0]["output"]}, call_id="call of price, again")]
    return [function_call("transfer_to_writer", {}, call_id="handoff")]


async def _tool(context: ToolContext[Any], topic: str) -> str:
    return await step_at(context.tool_call_id, f"{context.tool_name} of {topic}")


@function_tool
async def weather(context: ToolContext[Any], topic: str) -> str:
    return await _tool(context, topic)


@function_tool
async def price(context: ToolContext[Any], topic: str) -> str:
    return await _tool(context, topic)


@function_tool
async def look_up(context: ToolContext[Any], topic: str) -> str:
    return await _tool(context, topic)


@function_tool
async def approval(context: ToolContext[Any], topic: str) -> str:
    return await answer_from_outside(context.tool_call_id, f"approval of {topic}")


@input_guardrail
async def polite(context: Any, agent: Any, asked: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(await step_at("guardrail", "guardrail"), tripwire_triggered=False)


sub_agent = Agent(name="sub", model=DurableModel("sub"), tools=[look_up])
writer = Agent(name="writer", model=DurableModel("writer"))
agent = Agent(
    name="main",
    model=DurableModel("main"),
    tools=[weather, price, approval, sub_agent.as_tool("research", "researches")],
    handoffs=[writer],
    input_guardrails=[polite],
)
CONFIG = RunConfig(tracing_disabled=True)


@program
async def plain(play: LibraryPlay) -> Any:
    result = await Runner.run(agent, "How is Oslo?", run_config=CONFIG)
    return [str(item) for item in result.to_input_list()]


@program
async def beside_other_work(play: LibraryPlay) -> Any:
    return await asyncio.gather(plain(play), step("other"), step("another"))


@program
async def streamed(play: LibraryPlay) -> Any:
    result = Runner.run_streamed(agent, "How is Oslo?", run_config=CONFIG)
    async for event in result.stream_events():
        if event.type == "run_item_stream_event":
            play.saw(event.name)
            await step(f"show {event.name}")
    return [str(item) for item in result.to_input_list()]
