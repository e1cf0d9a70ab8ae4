"""Agents of autogen: a model that asks for several tools at once, a team, and agents that send messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import (
    AgentId,
    DefaultTopicId,
    FunctionCall,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    default_subscription,
    message_handler,
)
from autogen_core.models import ChatCompletionClient, CreateResult, FunctionExecutionResultMessage, RequestUsage

from durable_async import require_context

from .playing import LibraryPlay, answer_from_outside, playing, program, step, step_at

NOTHING = RequestUsage(prompt_tokens=0, completion_tokens=0)


class DurableModel(ChatCompletionClient):
    """Records each answer of the model, under the name of its agent and the length of the conversation."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def create(self, messages: Any, **options: Any) -> CreateResult:
        key = f"{self.name} {len(messages)}"

        async def body() -> CreateResult:
            await play.work(key)
            return CreateResult(
                finish_reason="stop", content=self.answer(messages), usage=NOTHING, cached=False, logprobs=None
            )

        play = playing()
        return await require_context().at(key).step(body, name=key)

    def answer(self, messages: Any) -> Any:
        if self.name == "writer":
            return f"written after {len(messages)}"
        if isinstance(messages[-1], FunctionExecutionResultMessage):
            return "found " + " / ".join(each.content for each in messages[-1].content)
        calls = {"weather": "Oslo", "price": "Oslo", "approval": "trip"}
        return [
            FunctionCall(id=f"{name} {len(messages)}", name=name, arguments=f'{{"topic": "{topic} {len(messages)}"}}')
            for name, topic in calls.items()
        ]

    async def create_stream(self, messages: Any, **options: Any) -> Any:
        result = await self.create(messages)
        if isinstance(result.content, str):
            for word in result.content.split():
                yield word
        yield result

    async def close(self) -> None: ...
    def actual_usage(self) -> RequestUsage:
        return NOTHING

    def total_usage(self) -> RequestUsage:
        return NOTHING

    def count_tokens(self, messages: Any, **options: Any) -> int:
        return 0

    def remaining_tokens(self, messages: Any, **options: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> Any:
        return {
            "vision": False,
            "function_calling": True,
            "json_output": False,
            "family": "none",
            "structured_output": False,
        }


async def weather(topic: str) -> str:
    """Weather."""
    return await step_at(f"weather {topic}", f"weather of {topic}")


async def price(topic: str) -> str:
    """Price."""
    return await step_at(f"price {topic}", f"price of {topic}")


async def approval(topic: str) -> str:
    """Approval."""
    return await answer_from_outside(f"approval {topic}", f"approval of {topic}")


def assistant(stream: bool = False) -> AssistantAgent:
    tools: Any = [weather, price, approval]
    return AssistantAgent(
        "finder", DurableModel("finder"), tools=tools, reflect_on_tool_use=True, model_client_stream=stream
    )


@program
async def agent(play: LibraryPlay) -> Any:
    result = await assistant().run(task="How is Oslo?")
    return [str(message.content) for message in result.messages if isinstance(message, TextMessage)]


@program
async def agent_stream(play: LibraryPlay) -> Any:
    seen = []
    async for event in assistant(stream=True).run_stream(task="How is Oslo?"):
        play.saw(type(event).__name__)
        seen.append(await step(f"show {len(seen)} {type(event).__name__}"))
    return seen


@program
async def team(play: LibraryPlay) -> Any:
    agents: list[Any] = [assistant(), AssistantAgent("writer", DurableModel("writer"))]
    chat = RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(5))
    seen = []
    async for event in chat.run_stream(task="How is Oslo?"):
        play.saw(type(event).__name__)
        if isinstance(event, TextMessage):
            seen.append(await step(f"show {event.source} {event.content}"[:200]))
    return seen


@dataclass
class Ask:
    text: str


@dataclass
class Answered:
    text: str


@default_subscription
class Worker(RoutedAgent):
    def __init__(self, order: list[str]) -> None:
        super().__init__("works")
        self.order = order

    @message_handler
    async def on_ask(self, message: Ask, context: MessageContext) -> Answered:
        got = await step_at(f"{self.id.type} {message.text}", f"{self.id.type} {message.text}")
        self.order.append(got)
        playing().saw(got)
        return Answered(await step_at(f"{got} as {len(self.order)}", f"{got} as {len(self.order)}"))


@program
async def messages(play: LibraryPlay) -> Any:
    runtime = SingleThreadedAgentRuntime()
    order: list[str] = []
    for name in ("a", "b", "c"):
        await Worker.register(runtime, name, lambda: Worker(order))
    runtime.start()
    for n in range(2):
        await runtime.publish_message(Ask(f"all {n}"), DefaultTopicId())
    answered = await runtime.send_message(Ask("you"), AgentId("b", "default"))
    await step("asked")
    await runtime.stop_when_idle()
    return [answered.text, sorted(order)]
