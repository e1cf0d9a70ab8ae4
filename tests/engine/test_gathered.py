"""Concurrent tasks of several steps each, over a crash at a random moment: the feature that has to be right always."""

import asyncio
import random
from collections import Counter

import anyio
import pytest

from durable_async import durable_execution
from tests.world import World

SEEDS = 1000


def program(rng, ran):
    """A workflow whose tasks sleep at random, but whose shape is always the same."""

    async def nap():
        for _ in range(rng.randrange(5)):
            await asyncio.sleep(0)

    async def body(label):
        await nap()
        ran[label] += 1
        return label

    async def strand(ctx, label, depth=0):
        results = []
        for n in range(3):
            await nap()
            results.append(await ctx.step(body, f"{label}.{n}", name=f"{label}.{n}"))
        if depth:
            results.append(await asyncio.gather(*(strand(ctx, f"{label}/{n}", depth - 1) for n in range(2))))
        return results

    async def starter(ctx, label):
        task = asyncio.create_task(strand(ctx, f"{label}>"))
        await nap()
        return [await strand(ctx, label), await task]

    @durable_execution
    async def workflow(event, ctx):
        results = [await asyncio.gather(*(strand(ctx, f"gather{n}", 1) for n in range(3)))]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(strand(ctx, f"group{n}")) for n in range(2)]
        results.append([task.result() for task in tasks])
        collected = {}

        async def collect(n):
            collected[n] = await strand(ctx, f"anyio{n}")

        async with anyio.create_task_group() as tasks:
            for n in range(2):
                tasks.start_soon(collect, n)
        results.append([collected[n] for n in range(2)])
        results.append(await asyncio.gather(*(starter(ctx, f"starter{n}") for n in range(2))))
        return results

    return workflow


async def execute(seed, crash_after):
    """The result, the names and ids on record, and how often each body ran to its end."""
    ran = Counter()
    recorded = Counter()
    rng = random.Random(seed)
    async with World() as world:
        world.crash_after = crash_after
        arn = await world.start(program(rng, ran))
        closed = await world.finish(arn)
        for event in await world.events(arn):
            if event["EventType"] == "StepSucceeded":
                recorded[event["Name"], event["Id"]] += 1
    return closed.result, recorded, ran, world


async def test_a_crash_changes_nothing():
    result, recorded, ran, world = await execute(0, None)
    calls = len(world.calls)
    assert len(recorded) == 51 and set(recorded.values()) == set(ran.values()) == {1}
    for seed in range(1, SEEDS + 1):
        crash_after = random.Random(-seed).randrange(calls)
        again, recorded_again, ran, world = await execute(seed, crash_after)
        assert again == result, seed
        assert recorded_again == recorded, seed
        # Only what was not yet recorded when the process died may have run twice.
        assert world.invocations <= 2
        lost = {name for name, count in ran.items() if count > 1}
        assert not lost & world.recorded_before_the_crash, seed


@pytest.mark.parametrize("seed", range(20))
async def test_three_strands_of_three_steps(seed):
    """The program on which other engines return swapped results."""
    rng = random.Random(seed)
    sleeps = [[rng.random() / 100 for _ in range(3)] for _ in range(3)]

    @durable_execution
    async def workflow(event, ctx):
        async def strand(n):
            results = []
            for k in range(3):
                await asyncio.sleep(sleeps[n][k] * rng.random())
                results.append(await ctx.step(lambda: f"{n}-{k}"))
            return results

        return await asyncio.gather(*(strand(n) for n in range(3)))

    async with World() as world:
        world.crash_after = rng.randrange(5)
        closed = await world.run(workflow)
    assert closed.result == '[["0-0", "0-1", "0-2"], ["1-0", "1-1", "1-2"], ["2-0", "2-1", "2-2"]]'
