"""Decides when a batch ends, and why. Pure arithmetic.

All comparisons are strict: exactly as many failures as tolerated are tolerated. Percentages refer to the number of
items given, not of those started.
"""

from __future__ import annotations

from durable_async.batch_config import BatchProgress, CompletionConfig
from durable_async.batch_result import BatchStatus, CompletionReason


def completion_reason(completion: CompletionConfig, progress: BatchProgress) -> CompletionReason | None:
    """Return why the batch ends; None: it continues.

    :raises TypeError: the custom completion returned something else than None or a status
    """
    if completion.custom is not None:
        match completion.custom(progress):
            case None:
                pass
            case BatchStatus.SUCCEEDED:
                return CompletionReason.CUSTOM_COMPLETION_SUCCEEDED
            case BatchStatus.FAILED:
                return CompletionReason.CUSTOM_COMPLETION_FAILED
            case answer:
                raise TypeError(
                    f"a custom completion must return None, BatchStatus.SUCCEEDED or BatchStatus.FAILED, not {answer!r}"
                )
    elif _is_tolerance_exceeded(completion, progress):
        return CompletionReason.FAILURE_TOLERANCE_EXCEEDED
    if progress.completed >= progress.total:
        return CompletionReason.ALL_COMPLETED
    if completion.min_successful is not None and progress.succeeded >= completion.min_successful:
        return CompletionReason.MIN_SUCCESSFUL_REACHED
    return None


def inferred_reason(completion: CompletionConfig, progress: BatchProgress) -> CompletionReason:
    """Return why a batch has ended whose record does not say it. A custom completion is not called again."""
    if completion.custom is not None:
        completion = CompletionConfig.all_completed()
    return completion_reason(completion, progress) or CompletionReason.ALL_COMPLETED


def _is_tolerance_exceeded(completion: CompletionConfig, progress: BatchProgress) -> bool:
    count, percentage = completion.tolerated_failures, completion.tolerated_failure_percentage
    if count is None and percentage is None:
        return completion.min_successful is None and progress.failed > 0
    return (count is not None and progress.failed > count) or (
        percentage is not None and progress.total > 0 and 100 * progress.failed / progress.total > percentage
    )
