"""What our functions come to, whatever the service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from .services import Service


@attrs.frozen
class Example:
    function: str
    event: Any
    result: Any


EXAMPLES = {
    example.function: example
    for example in [
        Example("steps", {"item": "bücher"}, ["bücher", "shipped"]),
        Example("retried", {}, 3),
        Example("handled", {}, {"type": "durable_async.errors.NonRetryableError", "message": "no such card"}),
        Example("at_most_once", {}, "charged"),
        Example("gathered", {"numbers": [1, 2, 3, 4]}, [1, 4, 9, 16]),
        Example("nested", {}, 3),
        Example("retried_block", {}, ["attempt"] * 3),
        Example("late", {}, "too late"),
        Example("compensated", {}, "no such card"),
        Example("patched", {}, ["audited", "charged"]),
        Example("mapped", {"numbers": [4, -1, 9]}, {"succeeded": [2.0, 3.0], "failed": [1]}),
        Example("raced", {}, "fast"),
        Example("condition", {}, 3),
        Example(
            "invoking",
            {"item": "book"},
            {
                "durable": {"echo": {"item": "book"}},
                "ordinary": {"plain": {"item": "book"}},
                "nobody": "ResourceNotFoundException",
            },
        ),
        Example("large_child", {}, 400_000),
        Example("long_record", {"parts": 40}, 8_000_000),
    ]
}


async def start(service: Service, names: Iterable[str]) -> dict[str, str]:
    """All at once, for each waits some seconds and does nothing meanwhile. Their ARNs by their names."""
    return {name: await service.start(name, EXAMPLES[name].event) for name in names}
