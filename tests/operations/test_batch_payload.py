"""What is recorded of a batch, as text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import BatchItem, BatchResult, BatchStatus, ChildContextError, CompletionReason, SerializationError
from durable_async._operations.batch_record import (
    RecordedItem,
    ResultWriter,
    Summary,
    read_result,
    read_summary,
    write_summary,
)
from durable_async._wire.limits import CONTEXT_RESULT_BYTES

STARTED, SUCCEEDED, FAILED = BatchStatus.STARTED, BatchStatus.SUCCEEDED, BatchStatus.FAILED
ALL, MIN = CompletionReason.ALL_COMPLETED, CompletionReason.MIN_SUCCESSFUL_REACHED
BROKEN = ChildContextError('no "quotes"', "ValueError", None, ("a frame",))


def batch(*statuses, reason=MIN):
    return BatchResult(tuple(BatchItem(index, status) for index, status in enumerate(statuses)), reason)


def test_the_result_is_json_that_others_read():
    writer = ResultWriter()
    items = [BatchItem(0, SUCCEEDED, {"é": 1}), BatchItem(1, STARTED), BatchItem(2, FAILED, None, BROKEN)]
    writer.add(items[2])
    writer.add(items[0], '{"\\u00e9": 1}')
    assert json.loads(writer.finish(items, MIN)) == {
        "all": [
            {"index": 0, "status": "SUCCEEDED", "result": {"é": 1}, "error": None},
            {"index": 1, "status": "STARTED", "result": None, "error": None},
            {
                "index": 2,
                "status": "FAILED",
                "result": None,
                "error": {"ErrorMessage": 'no "quotes"', "ErrorType": "ValueError", "StackTrace": ["a frame"]},
            },
        ],
        "completionReason": "MIN_SUCCESSFUL_REACHED",
    }


@pytest.mark.parametrize(("over", "fits"), [(0, True), (1, False)])
def test_a_result_of_more_than_256_kib_is_not_written(over, fits):
    item = BatchItem(0, SUCCEEDED)
    empty = ResultWriter()
    empty.add(item, '""')
    frame = len(empty.finish([item], ALL))
    writer = ResultWriter()
    writer.add(item, json.dumps("x" * (CONTEXT_RESULT_BYTES - frame + over)))
    text = writer.finish([item], ALL)
    assert (text is not None) is fits
    assert text is None or len(text) == CONTEXT_RESULT_BYTES


def test_what_is_too_large_is_not_kept():
    writer = ResultWriter()
    for index in range(10):
        writer.add(BatchItem(index, SUCCEEDED), json.dumps("x" * 100_000))
    assert not writer._items


def test_a_result_without_a_reason_and_out_of_order_is_read():
    text = '{"all": [{"index": 1, "status": "STARTED"}, {"index": 0, "status": "SUCCEEDED", "result": 1}]}'
    assert read_result(text, "it") == (
        [RecordedItem(0, SUCCEEDED, 1, None), RecordedItem(1, STARTED, None, None)],
        None,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "null",
        '{"all": 1}',
        '{"all": [1]}',
        '{"all": [{"index": 0}]}',
        '{"all": [{"index": true, "status": "STARTED"}]}',
        '{"all": [{"index": 0, "status": "LOST"}]}',
        '{"all": [], "completionReason": "BORED"}',
    ],
)
def test_what_is_no_result_is_refused(text):
    with pytest.raises(SerializationError, match="it: not the result of a batch"):
        read_result(text, "it")


@pytest.mark.parametrize(
    ("result", "summary"),
    [
        pytest.param(
            batch(SUCCEEDED, STARTED, FAILED, SUCCEEDED),
            {
                "type": "MapResult",
                "totalCount": 4,
                "completionReason": "MIN_SUCCESSFUL_REACHED",
                "startedIndexes": [1],
                "startedCount": 1,
                "successCount": 2,
                "failureCount": 1,
                "status": "FAILED",
            },
            id="more have ended",
        ),
        pytest.param(
            batch(STARTED, SUCCEEDED, STARTED),
            {
                "type": "MapResult",
                "totalCount": 3,
                "completionReason": "MIN_SUCCESSFUL_REACHED",
                "completedIndexes": [1],
                "startedCount": 2,
                "successCount": 1,
                "failureCount": 0,
                "status": "SUCCEEDED",
            },
            id="more have not",
        ),
        pytest.param(
            batch(SUCCEEDED, STARTED),
            {
                "type": "MapResult",
                "totalCount": 2,
                "completionReason": "MIN_SUCCESSFUL_REACHED",
                "startedIndexes": [1],
                "startedCount": 1,
                "successCount": 1,
                "failureCount": 0,
                "status": "SUCCEEDED",
            },
            id="as many",
        ),
    ],
)
def test_the_summary_is_that_of_the_official_sdks(result, summary):
    assert list(json.loads(write_summary("MapResult", result, None)).items()) == list(summary.items())
    with_text = json.loads(write_summary("MapResult", result, "in short"))
    assert with_text == summary | {"summary": "in short"}


@given(st.lists(st.sampled_from(BatchStatus)), st.sampled_from(CompletionReason), st.integers(0, 3))
def test_a_summary_says_which_items_had_ended(statuses, reason, more):
    text = write_summary("ParallelResult", batch(*statuses, reason=reason), None)
    started = frozenset(index for index, status in enumerate(statuses) if status is STARTED)
    assert read_summary(text, len(statuses) + more) == Summary(len(statuses), started, reason)


GOOD = {"totalCount": 2, "completionReason": "ALL_COMPLETED", "startedIndexes": []}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("in short", id="no JSON"),
        pytest.param("[]", id="no object"),
        *(
            pytest.param(json.dumps(GOOD | change), id=json.dumps(change))
            for change in (
                {"totalCount": None},
                {"totalCount": True},
                {"totalCount": 3},
                {"totalCount": -1},
                {"completionReason": None},
                {"completionReason": []},
                {"completionReason": "BORED"},
                {"startedIndexes": None},
                {"startedIndexes": [2]},
                {"startedIndexes": [False]},
                {"startedIndexes": [[]]},
            )
        ),
    ],
)
def test_what_does_not_say_so_is_no_summary(text):
    assert read_summary(json.dumps(GOOD), 2) == Summary(2, frozenset(), ALL)
    assert read_summary(text, 2) is None
