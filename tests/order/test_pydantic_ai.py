"""An agent of pydantic-ai as a workflow: its model calls, tools and sub-agent are operations, called from its own tasks."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, FunctionToolResultEvent, ModelMessagesTypeAdapter, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import CompletedStreamedResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel

from durable_async import DurableContext, require_context
from tests.libraries.playing import LibraryRun, playing
from tests.programs.execution import Conditions, run_to_its_end
from tests.property_runs import examples

from .play import Play

TOOLS = ("weather", "price", "approval", "research")


class DurableModel(WrapperModel):
    """Records each answer of the model as the result of a step, whose identity is the length of the conversation."""

    async def request(self, messages: list[ModelMessage], *rest: Any) -> ModelResponse:
        async def body() -> str:
            await play.work("model")
            return ModelMessagesTypeAdapter.dump_json([await self.wrapped.request(messages, *rest)]).decode()

        play = playing()
        answer = await require_context().at(f"model {len(messages)}").step(body, name=f"model {len(messages)}")
        response = ModelMessagesTypeAdapter.validate_json(answer)[0]
        assert isinstance(response, ModelResponse)
        return response

    @asynccontextmanager
    async def request_stream(self, messages: list[ModelMessage], settings: Any, parameters: Any, *_: Any) -> Any:
        response = await self.request(messages, settings, parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=parameters, replay_events=True)


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """All tools at once, then one more by what they said, then the end."""
    returned = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    tools = [tool.name for tool in info.function_tools]
    if "approval" not in tools:
        return ModelResponse(
            [TextPart("found")] if returned else [ToolCallPart("look_up", {"topic": "snow"}, "look-up")]
        )
    if not returned:
        return ModelResponse([ToolCallPart(tool, {"topic": "Oslo"}, f"call of {tool}") for tool in TOOLS])
    if len(returned) == len(TOOLS):
        said = ", ".join(sorted(str(part.content) for part in returned))
        return ModelResponse([ToolCallPart("price", {"topic": said}, "call of price, again")])
    return ModelResponse([TextPart(f"{returned[-1].content}")])


agent = Agent(DurableModel(FunctionModel(answer)), deps_type=type(None))
sub_agent = Agent(DurableModel(FunctionModel(answer)), deps_type=type(None))


async def _tool(run: RunContext[None], topic: str) -> str:
    play = playing()
    name = f"{run.tool_name} of {topic}"

    async def body() -> str:
        await play.work(name)
        return name

    return await require_context().at(run.tool_call_id).step(body, name=run.tool_name)


async def weather(run: RunContext[None], topic: str) -> str:
    return await _tool(run, topic)


async def price(run: RunContext[None], topic: str) -> str:
    return await _tool(run, topic)


async def look_up(run: RunContext[None], topic: str) -> str:
    return await _tool(run, topic)


async def approval(run: RunContext[None], topic: str) -> str:
    play = playing()

    async def ask(callback_id: str) -> None:
        await play.hand_out(callback_id, f"approval of {topic}")

    return await require_context().at(run.tool_call_id).wait_for_callback(ask, name="approval")


async def research(run: RunContext[None], topic: str) -> str:
    async def asks_another(_: DurableContext) -> str:
        return (await sub_agent.run(topic)).output

    return await require_context().at(run.tool_call_id).run_in_child_context(asks_another, name="research")


for tool in (weather, price, approval, research):
    agent.tool(tool)
sub_agent.tool(look_up)


def transcript(messages: list[ModelMessage]) -> str:
    """What was said, without the times and the ids that pydantic-ai makes up."""
    said = ModelMessagesTypeAdapter.dump_json(messages).decode()
    return re.sub(r'"(timestamp|run_id|conversation_id)":"[^"]*"', r'"\1":""', said)


async def plain(play: Play) -> str:
    return transcript((await agent.run("How is Oslo?")).all_messages())


async def streamed(play: Play) -> str:
    """The events of the stream come in the order in which tools end."""
    async with agent.run_stream_events("How is Oslo?") as events:
        async for event in events:
            if isinstance(event, FunctionToolResultEvent):
                play.saw("result of", event.part.tool_call_id)
                await play.step(f"show {event.part.tool_call_id}")
    assert events.result is not None
    return transcript(events.result.all_messages())


def outcome_of(program: Any, conditions: Conditions) -> Any:
    report = run_to_its_end(LibraryRun(program, conditions))
    assert report.wrong == [], conditions
    return report


@pytest.mark.parametrize("program", [plain, streamed])
@settings(max_examples=examples(5), deadline=None, suppress_health_check=[*HealthCheck])
@given(st.integers(0, 2**32))
def test_an_agent_that_is_killed_has_the_same_transcript(program, seed):
    undisturbed = outcome_of(program, Conditions(seed))
    names = {name for _, name, *_ in undisturbed.operations}
    assert {*TOOLS, "look_up", "model 1"} <= names, names
    killed = outcome_of(program, Conditions.random(seed, undisturbed.calls))
    assert killed.outcome == undisturbed.outcome
