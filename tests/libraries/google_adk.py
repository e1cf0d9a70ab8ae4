"""Agents of Google's agent development kit: tools called at once, agents in parallel and in sequence."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents import LlmAgent, ParallelAgent, SequentialAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools import ToolContext
from google.genai import types

from durable_async import require_context

from .playing import LibraryPlay, answer_from_outside, playing, program, step, step_at


class DurableModel(BaseLlm):
    """Records each answer of the model, under the name of its agent and the length of the conversation."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        contents = llm_request.contents
        key = f"{self.model} {len(contents)}"

        async def body() -> LlmResponse:
            await play.work(key)
            return LlmResponse(content=types.Content(role="model", parts=self.answer(contents)))

        play = playing()
        yield await require_context().at(key).step(body, name=key)

    def answer(self, contents: list[types.Content]) -> list[types.Part]:
        said = [part.function_response.response for part in contents[-1].parts or () if part.function_response]
        if said:
            return [types.Part(text=f"{self.model}: {said}")]
        calls = {"weather": "Oslo", "price": "Oslo", "approval": self.model}
        return [
            types.Part(function_call=types.FunctionCall(id=f"{self.model} {name}", name=name, args={"topic": topic}))
            for name, topic in calls.items()
        ]


async def weather(topic: str, tool_context: ToolContext) -> str:
    return await step_at(str(tool_context.function_call_id), f"{tool_context.function_call_id} of {topic}")


async def price(topic: str, tool_context: ToolContext) -> str:
    return await step_at(str(tool_context.function_call_id), f"{tool_context.function_call_id} of {topic}")


async def approval(topic: str, tool_context: ToolContext) -> str:
    return await answer_from_outside(str(tool_context.function_call_id), f"approval of {topic}")


def agent(name: str) -> LlmAgent:
    return LlmAgent(name=name, model=DurableModel(model=name), tools=[weather, price, approval])


async def events_of(root: Any, play: LibraryPlay, show: bool = False) -> list[str]:
    runner = InMemoryRunner(root, app_name="app")
    await runner.session_service.create_session(app_name="app", user_id="user", session_id="session")
    message = types.Content(role="user", parts=[types.Part(text="How is Oslo?")])
    seen = []
    async for event in runner.run_async(user_id="user", session_id="session", new_message=message):
        text = f"{event.author} {[part.text or part.function_response for part in event.content.parts or ()]}"
        play.saw(text)
        seen.append(text)
        if show:
            await step(f"show {len(seen)} {event.author}")
    return seen


@program
async def plain(play: LibraryPlay) -> Any:
    return await events_of(agent("main"), play)


@program
async def agents_in_parallel(play: LibraryPlay) -> Any:
    at_once = ParallelAgent(name="both", sub_agents=[agent("left"), agent("right")])
    return await events_of(SequentialAgent(name="all", sub_agents=[at_once, agent("last")]), play, show=True)
