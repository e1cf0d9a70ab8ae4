"""Draw the spans of a trace, as a tree of text or as an SVG picture. Written for the documentation."""

from collections.abc import Iterator, Sequence
from html import escape

import attrs
from opentelemetry.sdk.trace import ReadableSpan

NANOSECONDS = 1e9
LEFT, WIDTH, LINE = 230, 470, 22
COLORS = {"OK": "#2f7d4f", "ERROR": "#b3392f", "UNSET": "#7a7f87"}


@attrs.frozen
class Row:
    """A span and its place in the tree. Times are seconds since the first span began."""

    depth: int
    name: str
    start: float
    end: float
    status: str


def rows(spans: Sequence[ReadableSpan]) -> list[Row]:
    """Return the spans of one trace, parents before children, the execution first, others in the order of their starts.

    A root that was exported several times counts once.
    """
    by_id = {span.context.span_id: span for span in spans}
    began = min(span.start_time for span in by_id.values())

    def walk(parent: int | None, depth: int) -> Iterator[Row]:
        children = [span for span in by_id.values() if (span.parent.span_id if span.parent else None) == parent]
        for span in sorted(children, key=lambda span: (span.name != "Workflow", span.start_time)):
            start, end = ((time - began) / NANOSECONDS for time in (span.start_time, span.end_time))
            yield Row(depth, span.name, start, end, span.status.status_code.name)
            yield from walk(span.context.span_id, depth + 1)

    return [*walk(None, 0)]


def tree(spans: Sequence[ReadableSpan]) -> str:
    return "\n".join(
        f"{'  ' * row.depth + row.name:<34}{row.start:5.1f} s to {row.end:.1f} s  {row.status}" for row in rows(spans)
    )


def svg(spans: Sequence[ReadableSpan]) -> str:
    drawn = rows(spans)
    total = max(row.end for row in drawn) or 1.0
    width, height = LEFT + WIDTH + 20, LINE * (len(drawn) + 1)
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="#ffffff"/>',
    ]
    for number, row in enumerate(drawn):
        y = LINE * number + 8
        x = LEFT + WIDTH * row.start / total
        long = max(3.0, WIDTH * (row.end - row.start) / total)
        lines += [
            f'<text x="{10 + 14 * row.depth}" y="{y + 13}" fill="#1d2126">{escape(row.name)}</text>',
            f'<rect x="{x:.0f}" y="{y}" width="{long:.0f}" height="15" rx="2" fill="{COLORS[row.status]}"/>',
        ]
    return "\n".join([*lines, "</svg>", ""])
