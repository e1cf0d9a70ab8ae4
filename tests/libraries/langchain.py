"""Runnables of langchain-core and graphs of langgraph: parallel branches, batches, streams of events."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

from durable_async import require_context

from .playing import LibraryPlay, answer_from_outside, playing, program, step, step_at, wait


def two_steps(name: str) -> RunnableLambda[Any, str]:
    async def run(value: Any) -> str:
        first = await step(f"{name} of {value}, first")
        await wait(1 + len(name) % 3, f"{name} of {value} waits")
        await step(f"{name} of {value}, second")
        return first

    return RunnableLambda(run, name=name)


@program
async def runnable_parallel(play: LibraryPlay) -> Any:
    chain = (
        RunnableParallel(left=two_steps("left"), right=two_steps("right"), same=RunnablePassthrough())
        | RunnableLambda(lambda both: f"{both['left']} / {both['same']}")
        | two_steps("then")
    )
    return await chain.ainvoke("x")


@program
async def runnable_batch(play: LibraryPlay) -> Any:
    results = await two_steps("one").abatch([*"abcdef"], config={"max_concurrency": 3})
    async for n, result in two_steps("as completed").abatch_as_completed([*"abcd"]):
        play.saw(n, result)
        results.append(await step(f"took {n} {result}"))
    return results


@program
async def runnable_stream(play: LibraryPlay) -> Any:
    chain = RunnableParallel(left=two_steps("left"), right=two_steps("right"))
    chunks = []
    async for chunk in chain.astream("x"):
        play.saw(str(chunk))
        chunks.append(await step(f"show {chunk}"))
    return chunks


@program
async def runnable_events(play: LibraryPlay) -> Any:
    chain = RunnableParallel(left=two_steps("left"), right=two_steps("right")) | two_steps("then")
    seen = []
    async for event in chain.astream_events("x", version="v2"):
        play.saw(event["event"], event["name"])
        seen.append(f"{event['event']} {event['name']}")
        if event["event"] == "on_chain_end":
            await step(f"show {len(seen)} {event['name']}")
    return seen


class State(TypedDict):
    said: Annotated[list[str], operator.add]


def node(name: str, key: bool = False):
    async def run(state: State) -> Any:
        said = str(len(state["said"]))
        if key:
            ctx = require_context().at(f"{name} {said}")
            first = await playing().record(ctx, f"{name} {said}")
            return {"said": [first, await playing().record(ctx, f"{name} {said} again")]}
        first = await step(f"{name} {said}")
        await wait(1 + len(name) % 2, f"{name} {said} waits")
        return {"said": [first, await step(f"{name} {said} again")]}

    return run


def graph_of(key: bool = False) -> Any:
    graph = StateGraph(State)
    graph.add_node("a", node("a", key))
    for name in ("b1", "b22", "b3"):
        graph.add_node(name, node(name, key))
        graph.add_edge("a", name)
        graph.add_edge(name, "c")
    graph.add_node("c", node("c", key))
    graph.add_edge(START, "a")

    def again(state: State) -> list[Send] | str:
        if len(state["said"]) < 12:
            return [Send("d", {"said": [str(n)] * n}) for n in range(3)]
        return END

    graph.add_node("d", node("d", key))
    graph.add_conditional_edges("c", again, ["d", END])
    graph.add_edge("d", END)
    return graph


@program
async def graph(play: LibraryPlay) -> Any:
    return await graph_of().compile().ainvoke({"said": []})


@program
async def graph_keyed(play: LibraryPlay) -> Any:
    return await graph_of(key=True).compile().ainvoke({"said": []})


@program
async def graph_limited(play: LibraryPlay) -> Any:
    return await graph_of().compile().ainvoke({"said": []}, {"max_concurrency": 2})


@program
async def graph_stream(play: LibraryPlay) -> Any:
    seen = []
    async for mode, update in graph_of().compile().astream({"said": []}, stream_mode=["updates", "values"]):
        play.saw(mode, str(update))
        seen.append(await step(f"show {mode} {update}"[:200]))
    return seen


@program
async def graph_stream_keyed(play: LibraryPlay) -> Any:
    seen = []
    async for update in graph_of(key=True).compile().astream({"said": []}, stream_mode="updates"):
        play.saw(str(update))
        seen.append(await step(f"show {update}"[:200]))
    return seen


@program
async def graph_events(play: LibraryPlay) -> Any:
    seen = []
    async for event in graph_of(key=True).compile().astream_events({"said": []}, version="v2"):
        play.saw(event["event"], event["name"])
        seen.append(f"{event['event']} {event['name']}")
    return seen


@tool
async def weather(city: str) -> str:
    """Weather."""
    return await step_at(f"weather {city}", f"weather in {city}")


@tool
async def approval(topic: str) -> str:
    """Approval."""
    return await answer_from_outside(f"approval {topic}", f"approval of {topic}")


@program
async def agent(play: LibraryPlay) -> Any:
    """The loop of an agent: model, tools at once, model."""
    calls = [
        {"name": "weather", "args": {"city": "Oslo"}, "id": "1"},
        {"name": "weather", "args": {"city": "Rome"}, "id": "2"},
        {"name": "approval", "args": {"topic": "trip"}, "id": "3"},
    ]

    class MessagesState(TypedDict):
        messages: Annotated[list[Any], operator.add]

    async def model(state: MessagesState) -> Any:
        tools = [message.content for message in state["messages"] if isinstance(message, ToolMessage)]
        said = await step_at(f"model {len(state['messages'])}", f"answer to {tools}", {"calls": [] if tools else calls})
        return {"messages": [AIMessage("done" if tools else "", tool_calls=said["calls"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode([weather, approval]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "model")
    end = await graph.compile().ainvoke({"messages": []})
    return [message.content for message in end["messages"]]


@program
async def functional(play: LibraryPlay) -> Any:
    @task
    async def work(n: int) -> str:
        return await step(f"work {n}") + await step(f"work {n} again")

    @entrypoint()
    async def flow(numbers: list[int]) -> list[str]:
        order = []
        for each in asyncio.as_completed([work(n) for n in numbers]):
            order.append(await each)
            play.saw(order[-1])
        return order

    return await flow.ainvoke([1, 2, 3])


@program
async def graph_interrupt(play: LibraryPlay) -> Any:
    """The graph's own checkpointer is memory of the invocation: what it asks, a callback answers."""

    async def asks(state: State) -> Any:
        first = await step_at(f"before {len(state['said'])}", "before") if not state["said"] else "again"
        return {"said": [first, interrupt("approve?")]}

    async def first(state: State) -> Any:
        return {"said": [await step_at("first", "first")]}

    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("asks", asks)
    graph.add_edge(START, "first")
    graph.add_edge("first", "asks")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    got = await compiled.ainvoke({"said": []}, config)
    answer = await answer_from_outside("interrupt", str(got["__interrupt__"][0].value))
    return (await compiled.ainvoke(Command(resume=answer), config))["said"]
