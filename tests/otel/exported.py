"""Traces an execution on virtual time, and what of its spans tests look at."""

from collections import Counter

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from durable_async import durable_execution
from durable_async.otel import Traces
from tests.world import World

VIEWS = ("invocation", "execution")
ROOT = "DurableExecutionRoot"


class Exported:
    """A tracer provider, and the spans that came out of it."""

    def __init__(self, **options):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        [span] = self.named(name)
        return span

    def parent_of(self, span):
        """The name of a span's parent; None if it was not exported."""
        found = {each.name for each in self.spans if each.context.span_id == span.parent.span_id}
        return found.pop() if found else None

    def linked(self, span):
        by_id = {each.context.span_id: each.name for each in self.spans}
        return [by_id[link.context.span_id] for link in span.links]

    def repeated(self):
        """The ids that were exported more than once, apart from those of the anchor."""
        times = Counter(span.context.span_id for span in self.spans if span.name != ROOT)
        return [span_id for span_id, count in times.items() if count > 1]


async def traced(workflow, view="invocation", exported=None, **options):
    """Run a workflow to its end; what was exported."""
    exported = exported or Exported()
    plugin = Traces(view=view, tracer_provider=exported.provider, **options)
    async with World() as world:
        exported.closed = await world.run(durable_execution(plugins=[plugin])(workflow))
    return exported
