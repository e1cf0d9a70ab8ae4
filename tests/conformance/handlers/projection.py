"""What the handlers of ``parallel`` and ``map`` tell of a batch."""

from collections.abc import Mapping

from durable_async import BatchResult

COUNTS = ("completionReason", "successCount", "failureCount", "totalCount")
STATUS_AND_COUNTS = ("status", *COUNTS)


def projection(batch: BatchResult, *keys: str) -> Mapping[str, object]:
    """The named facts of a batch, as JSON values."""
    facts = {
        "completionReason": batch.completion_reason.value,
        "status": batch.status.value,
        "hasFailure": bool(batch.failed),
        "successCount": len(batch.succeeded),
        "failureCount": len(batch.failed),
        "errorCount": len(batch.errors()),
        "totalCount": len(batch.items),
    }
    return {key: facts[key] for key in keys}
