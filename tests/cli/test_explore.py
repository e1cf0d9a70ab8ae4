"""``durable-async explore`` reports what it found, and says with its exit code whether that was nothing."""

import re

import pytest

from durable_async.cli import commands
from durable_async.cli.exits import Exit

click_testing = pytest.importorskip("click.testing")


def explore(*arguments):
    return click_testing.CliRunner().invoke(commands.durable_async, ["explore", *arguments])


def test_a_workflow_without_fault_passes():
    done = explore("docs/examples/order.py:fulfil", "--input", "docs/examples/order.json", "--max-runs", "8")
    assert done.exit_code == Exit.OK, done.output
    assert done.output.startswith("explore found 0 problems in 8 runs over ")
    skipped, crashes = map(
        int, re.search(r"Not explored: (\d+) of (\d+) crashes, for max_runs=8", done.output).groups()
    )
    assert crashes - skipped == 2  # how many checkpoints there are depends on how soon the sync step's thread ends


def test_a_workflow_with_a_fault_fails():
    done = explore("tests/testing/faulty_workflows.py:cancellation_swallowed")
    assert done.exit_code == Exit.FAILED
    assert "1. A swallowed cancellation\n   cancellation_swallowed returned" in done.output


def test_a_workflow_that_fails_in_each_run_is_said_to_fail():
    done = explore("tests/cli/workflows.py:fail", "--max-runs", "4")
    assert done.output.startswith("explore found 0 problems in ")
    assert "\nThe workflow ended FAILED with LookupError: no such" in done.output


def test_an_input_that_the_workflow_cannot_read_is_a_usage_error():
    done = explore("docs/examples/order.py:fulfil", "--input", "{}")
    assert done.exit_code == Exit.USAGE
    assert "--input cannot be read as Order: $.id: is missing" in done.output


def test_a_package_to_ignore_that_does_not_exist_is_a_usage_error():
    done = explore("docs/examples/order.py:fulfil", "--input", "docs/examples/order.json", "--ignore", "misspelt")
    assert done.exit_code == Exit.USAGE
    assert "--ignore names 'misspelt', and there is no package or module of this name" in done.output
