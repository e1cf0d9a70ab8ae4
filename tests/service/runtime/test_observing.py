"""What happens if an observer of the service fails."""

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService

pytestmark = pytest.mark.anyio


class BrokenProcessor(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("the processor is broken")


class BrokenSampler(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("the sampler is broken")

    def get_description(self) -> str:
        return "broken"


def with_broken_processor() -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor())
    return provider


def with_broken_sampler() -> TracerProvider:
    return TracerProvider(sampler=BrokenSampler())


@durable_execution
async def child(event: int, ctx: DurableContext) -> int:
    return await ctx.step(lambda: 2 * event, name="double")


@durable_execution
async def parent(event: int, ctx: DurableContext) -> int:
    return await ctx.invoke("child:$LATEST", event)


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("provider", [with_broken_processor, with_broken_sampler])
async def test_an_execution_ends_although_it_cannot_be_traced(tmp_path, caplog, provider, in_file):
    path = tmp_path / "store.db" if in_file else None
    with caplog.at_level(logging.ERROR, "durable_async.service"):
        async with DurableService(path, tracer_provider=provider()) as service:
            service.register(child)
            service.register(parent)
            assert await (await service.start(parent, 21)).result() == 42
    assert "The service's observer raised an error in" in caplog.text
    assert "Unexpected error" not in caplog.text
