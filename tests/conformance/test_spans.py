"""The comparison of spans finds what is wrong."""

import copy

import pytest

from .spans import ARN, match_spans

EXECUTION = "arn:execution"
NAMES = {"EXECUTION_ARN": EXECUTION, "SERVICE_NAME": "s"}


def span(name, span_id, parent=None, start=0, end=10, links=(), status="OK", trace="t", **attributes):
    return {
        "trace_id": trace,
        "span_id": span_id,
        "parent_span_id": parent,
        "name": name,
        "kind": "INTERNAL",
        "status": status,
        "service_name": "s",
        "start_time": start,
        "end_time": end,
        "attributes": {ARN: EXECUTION, **attributes},
        "links": [{"trace_id": trace, "span_id": each} for each in links],
    }


SPANS = [
    span("Workflow", "w", "above", 0, 100, **{"durable.execution.status": "SUCCEEDED"}),
    span("Invocation", "i1", "above", 0, 40, **{"durable.invocation.first": True}),
    span("Invocation", "i2", "above", 50, 100, **{"durable.invocation.first": False}),
    span("step", "s", "w", 55, 60, ["i2"], **{"durable.operation.id": "1"}),
]
EXPECTED = {
    "minimum_spans": 4,
    "minimum_invocations": 2,
    "require_all_spans": True,
    "require_single_trace_per_execution": True,
    "require_parented_spans": [{"name": "Invocation"}],
    "exact_attribute_prefixes": ["durable.operation."],
    "span_assertions": [
        {
            "select": {"name": "Workflow"},
            "expect": {"parent": {"$allow_unresolved": True, "$allow_outside": True, "$reject_sdk_span": True}},
        },
        {
            "select": {"name": "Invocation"},
            "count": {"$any_of": [2, 3]},
            "expect": {"links": []},
            "expect_by_occurrence": {
                2: [
                    {"attributes": {"durable.invocation.first": True}},
                    {"attributes": {"durable.invocation.first": False}},
                ]
            },
        },
        {
            "select": {"name": "${/^step$/}"},
            "expect": {
                "status": {"$any_of": ["OK", "UNSET"]},
                "service_name": "${SERVICE_NAME}",
                "attributes": {ARN: "${EXECUTION_ARN}", "durable.operation.id": "*"},
                "parent": {"name": "Workflow"},
                "links": [{"name": "Invocation", "$occurrence": 2}],
                "inside": {"name": "Invocation", "$linked": True},
                "after": {"name": "Invocation", "attributes": {"durable.invocation.first": True}},
                "same_trace_as": {"name": "Workflow"},
            },
        },
    ],
}


def test_spans_that_are_as_asserted_conform():
    assert match_spans(EXPECTED, SPANS, NAMES) == []


@pytest.mark.parametrize(
    ("number", "change", "found"),
    [
        (3, {"parent_span_id": "i2"}, "parent"),
        (3, {"parent_span_id": None}, "parent"),
        (3, {"start_time": 45}, "inside"),
        (3, {"start_time": 30}, "after"),
        (3, {"end_time": 200}, "parent"),
        (3, {"links": [{"trace_id": "t", "span_id": "i1"}]}, "occurrence 1"),
        (3, {"links": []}, "links"),
        (3, {"status": "ERROR"}, "status"),
        (3, {"service_name": "other"}, "service_name"),
        (3, {"name": "other"}, "selects 0 spans"),
        (3, {"end_time": 50}, "ends before it starts"),
        (3, {"attributes": {ARN: EXECUTION, "durable.operation.id": "1", "durable.operation.x": 1}}, "too many"),
        (2, {"attributes": {ARN: EXECUTION, "durable.invocation.first": True}}, "attributes"),
        (2, {"parent_span_id": None}, "has no parent"),
        (2, {"name": "other"}, "at least 2 invocations"),
        (0, {"parent_span_id": "s"}, "parent"),
        (0, {"trace_id": "another"}, "2 traces"),
        (0, {"attributes": {ARN: "arn:other"}}, "may be of"),
    ],
)
def test_each_difference_is_found(number, change, found):
    spans = copy.deepcopy(SPANS)
    spans[number].update(change)
    assert any(found in difference for difference in match_spans(EXPECTED, spans, NAMES))


def test_a_span_twice_is_found_and_an_anchor_needs_no_assertion():
    assert match_spans(EXPECTED, [*SPANS, SPANS[3]], NAMES)
    anchor = span("DurableExecutionRoot", "above", **{"durable.execution.synthetic_root": True})
    assert match_spans(EXPECTED, [*SPANS, anchor, anchor], NAMES) == []
