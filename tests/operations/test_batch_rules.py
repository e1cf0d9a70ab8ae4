"""When a batch ends and why, as a table; and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async import BatchProgress, BatchStatus, CompletionConfig, CompletionReason
from durable_async._operations.batch_rules import completion_reason, inferred_reason

ALL = CompletionReason.ALL_COMPLETED
MIN = CompletionReason.MIN_SUCCESSFUL_REACHED
TOO_MANY = CompletionReason.FAILURE_TOLERANCE_EXCEEDED

FAIL_FAST = CompletionConfig()
MIN_2 = CompletionConfig(min_successful=2)
TOLERATED_1 = CompletionConfig(tolerated_failures=1)
QUARTER = CompletionConfig(tolerated_failure_percentage=25)
BOTH = CompletionConfig(tolerated_failures=5, tolerated_failure_percentage=25)
MIN_3_TOLERATED_1 = CompletionConfig(min_successful=3, tolerated_failures=1)


@pytest.mark.parametrize(
    ("completion", "succeeded", "failed", "total", "reason"),
    [
        pytest.param(FAIL_FAST, 0, 0, 0, ALL, id="no items"),
        pytest.param(FAIL_FAST, 0, 0, 2, None, id="nothing has ended"),
        pytest.param(FAIL_FAST, 1, 0, 2, None, id="one of two"),
        pytest.param(FAIL_FAST, 2, 0, 2, ALL, id="two of two"),
        pytest.param(FAIL_FAST, 1, 1, 3, TOO_MANY, id="no criterion: the first failure"),
        pytest.param(FAIL_FAST, 1, 1, 2, TOO_MANY, id="tolerance goes before all"),
        pytest.param(CompletionConfig.all_successful(), 0, 1, 9, TOO_MANY, id="all_successful: the first failure"),
        pytest.param(CompletionConfig.all_successful(), 9, 0, 9, ALL, id="all_successful"),
        pytest.param(CompletionConfig.all_completed(), 0, 8, 9, None, id="all_completed: eight of nine failed"),
        pytest.param(CompletionConfig.all_completed(), 0, 9, 9, ALL, id="all_completed: all failed"),
        pytest.param(CompletionConfig.first_successful(), 0, 2, 3, None, id="first_successful: failures never stop"),
        pytest.param(CompletionConfig.first_successful(), 1, 2, 4, MIN, id="first_successful"),
        pytest.param(MIN_2, 2, 0, 4, MIN, id="minimum reached"),
        pytest.param(MIN_2, 2, 0, 2, ALL, id="the last success reaches the minimum"),
        pytest.param(MIN_2, 1, 2, 3, ALL, id="the minimum was missed"),
        pytest.param(TOLERATED_1, 0, 1, 3, None, id="as many failures as tolerated"),
        pytest.param(TOLERATED_1, 0, 2, 3, TOO_MANY, id="one more than tolerated"),
        pytest.param(TOLERATED_1, 2, 1, 3, ALL, id="all ended within the tolerance"),
        pytest.param(QUARTER, 0, 1, 4, None, id="exactly the percentage"),
        pytest.param(QUARTER, 0, 2, 4, TOO_MANY, id="above the percentage"),
        pytest.param(QUARTER, 0, 0, 0, ALL, id="a percentage of nothing"),
        pytest.param(QUARTER, 0, 1, 1, TOO_MANY, id="a percentage of one"),
        pytest.param(QUARTER, 0, 101, 400, TOO_MANY, id="just above the percentage"),
        pytest.param(BOTH, 0, 2, 4, TOO_MANY, id="either tolerance suffices"),
        pytest.param(MIN_3_TOLERATED_1, 0, 2, 4, TOO_MANY, id="minimum and tolerance: too many failures"),
        pytest.param(MIN_3_TOLERATED_1, 3, 1, 5, MIN, id="minimum and tolerance: the minimum"),
        pytest.param(MIN_3_TOLERATED_1, 3, 2, 6, TOO_MANY, id="tolerance goes before the minimum"),
    ],
)
def test_the_table(completion, succeeded, failed, total, reason):
    assert completion_reason(completion, BatchProgress(succeeded, failed, total)) is reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(None, None, id="go on"),
        pytest.param(BatchStatus.SUCCEEDED, CompletionReason.CUSTOM_COMPLETION_SUCCEEDED, id="succeeded"),
        pytest.param(BatchStatus.FAILED, CompletionReason.CUSTOM_COMPLETION_FAILED, id="failed"),
    ],
)
def test_a_custom_completion_decides_and_failures_do_not(answer, reason):
    completion = CompletionConfig(custom=lambda progress: answer)
    assert completion_reason(completion, BatchProgress(0, 1, 3)) is reason
    assert completion_reason(completion, BatchProgress(0, 3, 3)) is (reason or ALL)


@pytest.mark.parametrize("answer", [True, False, BatchStatus.STARTED, "done"])
def test_a_custom_completion_must_answer(answer):
    with pytest.raises(TypeError, match="must return None"):
        completion_reason(CompletionConfig(custom=lambda progress: answer), BatchProgress(0, 0, 1))


def test_a_reason_that_is_not_recorded_is_inferred_without_asking_again():
    def never(progress):
        raise AssertionError

    assert inferred_reason(CompletionConfig(custom=never), BatchProgress(1, 1, 3)) is ALL
    assert inferred_reason(FAIL_FAST, BatchProgress(1, 0, 3)) is ALL
    assert inferred_reason(FAIL_FAST, BatchProgress(1, 1, 3)) is TOO_MANY
    assert inferred_reason(MIN_2, BatchProgress(2, 0, 3)) is MIN


counts = st.integers(0, 20)


@given(
    st.builds(
        CompletionConfig,
        min_successful=st.none() | st.integers(1, 20),
        tolerated_failures=st.none() | counts,
        tolerated_failure_percentage=st.none() | st.floats(0, 100),
    ),
    counts,
    counts,
    st.integers(0, 40),
)
def test_a_batch_whose_items_have_all_ended_has_ended_and_stays_ended(completion, succeeded, failed, more):
    progress = BatchProgress(succeeded, failed, succeeded + failed)
    assert completion_reason(completion, progress) is not None
    total = succeeded + failed + more
    if completion_reason(completion, BatchProgress(succeeded, failed, total)) is not None and more:
        for further in (BatchProgress(succeeded + 1, failed, total), BatchProgress(succeeded, failed + 1, total)):
            assert completion_reason(completion, further) is not None
