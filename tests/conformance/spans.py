"""What a case expects of spans, and how that is checked. Pure.

A span is a mapping as ``tests.otlp_receiver`` writes it, with times in nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .matching import as_text, fill, same

Span = Mapping[str, Any]

ARN = "durable.execution.arn"
SYNTHETIC_ROOT = "durable.execution.synthetic_root"
_MILLISECOND = 1_000_000
_PATTERN = re.compile(r"\$\{/(.*)/\}", re.DOTALL)
_RELATIONS = ("parent", "links", "before", "after", "inside", "same_trace_as")


def match_spans(assertions: Mapping[str, Any], spans: Iterable[Span], names: Mapping[str, Any]) -> list[str]:
    """Return the differences between what is asserted and the spans that were exported.

    :param names: ``EXECUTION_ARN``, ``SERVICE_NAME`` and those that the history binds
    """
    asserted = fill(assertions, names)
    allowed = asserted.get("allowed_execution_arns", [names["EXECUTION_ARN"]])
    return [*_Check(_of_executions(allowed, spans), asserted, allowed).differences()]


def _of_executions(arns: Sequence[str], spans: Iterable[Span]) -> list[Span]:
    """Return the spans of every trace in which one of the executions has a span."""
    spans = list(spans)
    traces = {span["trace_id"] for span in spans if span["attributes"].get(ARN) in arns}
    return [span for span in spans if span["trace_id"] in traces]


class _Check:
    def __init__(self, spans: Sequence[Span], asserted: Mapping[str, Any], allowed: Sequence[str]) -> None:
        self.spans = spans
        self.asserted = asserted
        self.allowed = allowed
        self.covered: set[int] = set()

    def differences(self) -> Iterator[str]:
        yield from self._general()
        for number, assertion in enumerate(self.asserted.get("span_assertions", ())):
            yield from self._assertion(f"span assertion {number}", assertion)
        if self.asserted.get("require_all_spans"):
            yield from self._uncovered()

    # --- all spans together ---

    def _general(self) -> Iterator[str]:
        least = self.asserted.get("minimum_spans", 1)
        if len(self.spans) < least:
            yield f"expected at least {least} spans, found {len(self.spans)}"
        invocations = [
            s for s in self.spans if s["name"] == "Invocation" and "durable.invocation.first" in s["attributes"]
        ]
        if len(invocations) < (least := self.asserted.get("minimum_invocations", 0)):
            yield f"expected at least {least} invocations, found {len(invocations)}"
        arns = {span["attributes"][ARN] for span in self.spans if ARN in span["attributes"]}
        if self.asserted.get("require_execution_correlation", True) and (not arns or arns - set(self.allowed)):
            yield f"the spans are of {sorted(arns)}, and may be of {self.allowed}"
        yield from (
            f"{_short(span)} ends before it starts" for span in self.spans if span["end_time"] < span["start_time"]
        )
        yield from self._roots()

    def _roots(self) -> Iterator[str]:
        roots = {(span["trace_id"], span["span_id"]) for span in self.spans if span["parent_span_id"] is None}
        if self.asserted.get("require_unique_root_per_trace") and len(roots) > len({trace for trace, _ in roots}):
            yield f"a trace has several roots: {sorted(roots)}"
        if self.asserted.get("require_single_trace_per_execution"):
            for arn in self.allowed:
                traces = {span["trace_id"] for span in self.spans if span["attributes"].get(ARN) == arn}
                if len(traces) > 1:
                    yield f"{arn} has spans in {len(traces)} traces"
        for selector in self.asserted.get("require_parented_spans", ()):
            found = (span for span in self.spans if _fits(selector, span) and span["parent_span_id"] is None)
            yield from (f"{_short(span)} has no parent" for span in found)

    def _uncovered(self) -> Iterator[str]:
        scopes = self.asserted.get("span_assertion_scope", {})
        for index, span in enumerate(self.spans):
            wanted = any(_fits(scope, span) for scope in (scopes if isinstance(scopes, list) else [scopes]))
            if wanted and index not in self.covered and SYNTHETIC_ROOT not in span["attributes"]:
                yield f"no assertion speaks of {_short(span)}"

    # --- one assertion ---

    def _assertion(self, path: str, assertion: Mapping[str, Any]) -> Iterator[str]:
        found = [
            index
            for index, span in enumerate(self.spans)
            if index not in self.covered and _fits(assertion["select"], span)
        ]
        count = assertion.get("count", 1)
        counts = count["$any_of"] if isinstance(count, Mapping) else [count]
        if len(found) not in counts:
            yield f"{path}: {assertion['select']} selects {len(found)} spans, expected {counts}"
            return
        self.covered.update(found)
        by_occurrence = assertion.get("expect_by_occurrence")
        if isinstance(by_occurrence, Mapping):
            by_occurrence = by_occurrence[len(found)]
        found.sort(key=lambda index: _when(self.spans[index]))
        for occurrence, index in enumerate(found):
            expected = {**assertion["expect"], **(by_occurrence[occurrence] if by_occurrence else {})}
            where = f"{path}: {_short(self.spans[index])}"
            yield from (f"{where}: {difference}" for difference in self._expectation(expected, self.spans[index]))

    def _expectation(self, expected: Mapping[str, Any], span: Span) -> Iterator[str]:
        for key, value in expected.items():
            if key not in _RELATIONS and not _fits(value, span.get(key)):
                yield f"{key}: expected {value}, found {span.get(key)}"
        for prefix in self.asserted.get("exact_attribute_prefixes", ()):
            wanted, there = (
                {key for key in keys if key.startswith(prefix)}
                for keys in (expected.get("attributes", ()), span["attributes"])
            )
            if "attributes" in expected and wanted != there:
                yield f"attributes: too many {sorted(there - wanted)}, too few {sorted(wanted - there)}"
        if "parent" in expected and not self._has_parent(expected["parent"], span):
            yield f"parent: expected {expected['parent']}, found {[_short(each) for each in self._parents(span)]}"
        if "links" in expected:
            yield from self._links(expected["links"], span)
        for relation, holds in (
            ("before", _before),
            ("after", _after),
            ("inside", _inside),
            ("same_trace_as", _same_trace),
        ):
            if relation in expected:
                yield from self._relation(relation, expected[relation], span, holds)

    def _parents(self, span: Span) -> list[Span]:
        return [each for each in self.spans if _key(each) == (span["trace_id"], span["parent_span_id"])]

    def _has_parent(self, expected: Mapping[str, Any], span: Span) -> bool:
        if "$any_of" in expected:
            return any(self._has_parent(each, span) for each in expected["$any_of"])
        wanted, options = _split(expected)
        if span["parent_span_id"] is None:
            return False
        parents = self._parents(span)
        if not parents:
            return "$allow_unresolved" in options
        slack = _MILLISECOND if "$millisecond_precision" in options else 0
        return any(
            _fits(wanted, parent)
            and not ("$reject_sdk_span" in options and _is_of_the_sdk(parent))
            and not ("$not" in options and _fits(options["$not"], parent))
            and ("$allow_outside" in options or _inside(span, parent, slack))
            for parent in parents
        )

    def _links(self, expected: Sequence[Mapping[str, Any]], span: Span) -> Iterator[str]:
        if len(expected) != len(span["links"]):
            yield f"links: expected {len(expected)}, found {len(span['links'])}"
            return
        for wanted, link in zip(expected, span["links"], strict=True):
            properties, options = _split({key: value for key, value in wanted.items() if key != "count"})
            linked = [
                each
                for each in self.spans
                if _key(each) == (link["trace_id"], link["span_id"]) and _fits(properties, each)
            ]
            if len(linked) != wanted.get("count", 1):
                yield f"links: {link} leads to {len(linked)} spans like {properties}"
            elif occurrence := options.get("$occurrence"):
                like = {_key(each): each for each in self.spans if _fits(properties, each)}
                actual = sorted(like, key=lambda key: _when(like[key])).index(_key(linked[0])) + 1
                if actual != occurrence:
                    yield f"links: occurrence {actual} of {properties}, expected {occurrence}"

    def _relation(
        self, relation: str, expected: Mapping[str, Any], span: Span, holds: Callable[[Span, Span, int], bool]
    ) -> Iterator[str]:
        wanted, options = _split(expected)
        linked = {(link["trace_id"], link["span_id"]) for link in span["links"]}
        others = [
            each
            for each in self.spans
            if each is not span and _fits(wanted, each) and ("$linked" not in options or _key(each) in linked)
        ]
        slack = _MILLISECOND if "$millisecond_precision" in options else 0
        if len(others) != 1:
            yield f"{relation}: {wanted} selects {len(others)} spans, expected 1"
        elif not holds(span, others[0], slack):
            yield f"{relation}: does not hold for {_short(others[0])}"


def _split(expected: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the properties to compare, and what the keys with a dollar say."""
    options = {key: value for key, value in expected.items() if key.startswith("$")}
    return {key: value for key, value in expected.items() if key not in options}, options


def _fits(expected: Any, actual: Any) -> bool:
    match expected:
        case "*":
            return True
        case str() if pattern := _PATTERN.fullmatch(expected):
            return re.search(pattern[1], as_text(actual)) is not None
        case {"$any_of": alternatives}:
            return any(_fits(each, actual) for each in alternatives)
        case Mapping():
            return isinstance(actual, Mapping) and all(
                key in actual and _fits(value, actual[key]) for key, value in expected.items()
            )
        case list():
            return isinstance(actual, list) and len(expected) == len(actual) and all(map(_fits, expected, actual))
        case _:
            return same(expected, actual)


def _before(span: Span, other: Span, slack: int) -> bool:
    return span["end_time"] <= other["start_time"] + slack


def _after(span: Span, other: Span, slack: int) -> bool:
    return _before(other, span, slack)


def _inside(span: Span, other: Span, slack: int) -> bool:
    return other["start_time"] - slack <= span["start_time"] and span["end_time"] <= other["end_time"] + slack


def _same_trace(span: Span, other: Span, slack: int) -> bool:
    return span["trace_id"] == other["trace_id"]


def _is_of_the_sdk(span: Span) -> bool:
    keys = span["attributes"]
    named = span["name"].lower() in {"workflow", "invocation"} and ARN in keys
    return named or any(key.startswith(("durable.operation.", "durable.attempt.")) for key in keys)


def _key(span: Span) -> tuple[str, str]:
    return span["trace_id"], span["span_id"]


def _when(span: Span) -> tuple[int, int, str]:
    return span["start_time"], span["end_time"], span["span_id"]


def _short(span: Span) -> str:
    return f"{span['name']} ({span['span_id']}, {span['status']})"
