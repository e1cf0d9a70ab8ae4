import assert from "node:assert/strict";
import { test } from "node:test";
import { answerCommand, commandFor, quoted } from "../src/model/commands.ts";
import { compare, firstDifference } from "../src/model/compare.ts";
import { idempotencyKey } from "../src/model/key.ts";
import { answerOf, fieldsOf } from "../src/model/form.ts";
import { Digits, found, parse } from "../src/model/json.ts";
import { lacking, refreshed, streamsOf, take } from "../src/model/listing.ts";
import { timelineSvg } from "../src/model/svg.ts";
import { counted, duration, functionName, size, version } from "../src/model/text.ts";
import { rowsOf } from "../src/model/timeline.ts";
import { blocking, type Execution, sentence, waitingOn } from "../src/model/waiting.ts";
import { historyOf, STARTED, step } from "./events.ts";

const ARN = "arn:aws:lambda:us-east-1:0:function:fulfil:$LATEST";
const RUNNING: Execution = {
  DurableExecutionArn: `${ARN}/durable-execution/order/1`,
  DurableExecutionName: "order",
  FunctionArn: ARN,
  Status: "RUNNING",
  StartTimestamp: 0,
};

const callback = [
  { type: "ContextStarted", at: 1, Id: "c", Name: "approval", SubType: "WaitForCallback" },
  {
    type: "CallbackStarted",
    at: 1,
    Id: "d",
    Name: "inner",
    SubType: "Callback",
    ParentId: "c",
    details: { CallbackId: "id", Timeout: 11_530 },
  },
];

test("durations have the two largest units", () => {
  const shown = [0, 0.004, 0.9996, 1.25, 59.7, 3600, 11_520, 86_399, 3 * 86_400 + 61].map(duration);
  assert.deepEqual(shown, ["0 ms", "4 ms", "1000 ms", "1.3 s", "1 m", "1 h", "3 h 12 m", "23 h 59 m", "3 d"]);
});

test("names, sizes and counts", () => {
  assert.equal(functionName(ARN), "fulfil");
  assert.equal(version(ARN), "$LATEST");
  assert.deepEqual([size(12), size(2048), size(3 * 1024 * 1024)], ["12 B", "2.0 KiB", "3.0 MiB"]);
  assert.deepEqual([counted(1, "event"), counted(1000, "event")], ["1 event", "1,000 events"]);
});

test("a callback that is waited for is named as its wait, and its timeout is counted down", () => {
  const history = historyOf([STARTED, ...callback]);
  assert.equal(sentence(RUNNING, history, 11), "waits for callback approval, times out in 3 h 12 m");
});

test("a retry says which attempt comes when", () => {
  const place = { Id: "a", Name: "charge", SubType: "Step" };
  const details = { RetryDetails: { CurrentAttempt: 2, NextAttemptDelaySeconds: 45 } };
  const history = historyOf([
    STARTED,
    { type: "StepStarted", at: 1, ...place },
    { type: "StepFailed", at: 2, ...place, details },
  ]);
  assert.equal(sentence(RUNNING, history, 7), "waits for retry 3 in 40 s");
});

test("of several, what a person can answer comes first", () => {
  const wait = { type: "WaitStarted", at: 1, Id: "w", Name: "w", SubType: "Wait", details: { Duration: 5 } };
  const history = historyOf([STARTED, wait, ...callback]);
  assert.equal(waitingOn(blocking(history.operations()), 2), "callback approval, and 1 more");
});

test("a failed execution says why", () => {
  const failed = { ...RUNNING, Status: "FAILED", EndTimestamp: 2, Error: { ErrorType: "ValueError", ErrorMessage: "no" } };
  assert.equal(sentence(failed, historyOf([STARTED]), 9), "failed after 2 s: ValueError: no");
});

test("large numbers keep their digits", () => {
  const value = parse('{"id": 12345678901234567890, "share": 1.10}') as Record<string, Digits>;
  assert.equal(typeof value["id"], "object");
  if (JSON.parse.length >= 2 && "source" in probe()) assert.equal(value["id"]!.text, "12345678901234567890");
  assert.equal(parse("{"), undefined);
});

function probe(): object {
  let seen: object = {};
  JSON.parse("1", (_name: string, value: unknown, context?: object) => ((seen = context ?? {}), value));
  return seen;
}

test("a search in JSON finds names and values, and what is around them", () => {
  const value = parse('{"a": {"deep": ["needle"]}, "b": 1}')!;
  assert.deepEqual([...found(value, "NEEDLE")].sort(), ["$", "$.a", "$.a.deep", "$.a.deep[0]"]);
  assert.equal(found(value, "nothing").size, 0);
});

test("the lists of several functions become one, and stop where a page is missing", () => {
  const item = (name: string, at: number) => ({ DurableExecutionArn: name, StartTimestamp: at });
  const streams = streamsOf<ReturnType<typeof item>>(["f", "g"]);
  assert.equal(lacking(streams).length, 2);
  Object.assign(streams[0]!, { waiting: [item("f9", 9), item("f5", 5)], marker: "next" });
  Object.assign(streams[1]!, { waiting: [item("g7", 7), item("g1", 1)], marker: undefined });
  assert.deepEqual(take(streams, false).map((each) => each.DurableExecutionArn), ["f9", "g7", "f5"]);
  assert.deepEqual(lacking(streams).map((each) => each.name), ["f"]);
  Object.assign(streams[0]!, { marker: undefined });
  assert.deepEqual(take(streams, false).map((each) => each.DurableExecutionArn), ["g1"]);
});

test("a fresh look changes rows in place and adds new ones in front", () => {
  const item = (name: string, status: string) => ({ DurableExecutionArn: name, StartTimestamp: 1, Status: status });
  const before = [item("a", "RUNNING"), item("b", "FAILED")];
  const after = refreshed(before, [item("c", "RUNNING"), item("a", "SUCCEEDED")], false);
  assert.deepEqual(after.map((each) => `${each.DurableExecutionArn} ${each.Status}`), ["c RUNNING", "a SUCCEEDED", "b FAILED"]);
  assert.equal(refreshed(before, [item("a", "RUNNING")], false), before);
});

test("the first difference of two executions is where one has another operation", () => {
  const left = historyOf([STARTED, ...step("a", 1, 2), ...step("b", 2, 3), ...step("x", 3, 4)]);
  const right = historyOf([STARTED, ...step("a", 1, 9), ...step("c", 9, 10), ...step("x", 10, 11)]);
  const pairs = compare(left, right);
  assert.deepEqual(pairs.map(({ id }) => id), ["a", "c", "b", "x"]);
  assert.equal(firstDifference(pairs), 1);
  assert.equal(firstDifference(compare(left, left)), -1);
});

test("the idempotency key of a step is the one that its body gets", () => {
  // python -c 'from hashlib import blake2b; print(blake2b(b"arn\\nid", digest_size=32).hexdigest())'
  assert.equal(idempotencyKey("arn", "id"), "55bfbda4d151dd9905185f13fd968f9adcb7632645b0d4fedcf25501ac5e0647");
});

test("the type of an answer makes a form, and the form makes JSON", () => {
  const properties = { approved: { type: "boolean" }, amount: { type: "integer" }, note: { type: "string" }, how: { enum: ["a", 1] } };
  const fields = fieldsOf(JSON.stringify({ type: "object", properties, required: ["approved"] }))!;
  assert.deepEqual(fields.map(({ kind }) => kind), ["truth", "integer", "text", "choice"]);
  const values = new Map([["approved", "true"], ["amount", "12345678901234567890"], ["note", ""], ["how", '"a"']]);
  assert.equal(answerOf(fields, values), '{"approved": true, "amount": 12345678901234567890, "how": "a"}');
  assert.equal(answerOf(fieldsOf('{"type": "string"}')!, new Map([["", 'say "hi"']])), '"say \\"hi\\""');
});

test("a type that is nested or not known is answered as JSON", () => {
  for (const schema of [undefined, "{", "{}", '{"type": "array"}', '{"type": "object", "properties": {"a": {"type": "object"}}}']) {
    assert.equal(fieldsOf(schema), undefined);
  }
});

test("commands are safe to paste", () => {
  assert.equal(quoted("it's $HOME"), `'it'\\''s $HOME'`);
  assert.equal(
    commandFor({ region: "eu-west-1" }, "stop", "arn:x"),
    "aws lambda stop-durable-execution --durable-execution-arn arn:x --region eu-west-1",
  );
  assert.equal(commandFor({ endpoint: "http://h:1" }, "cancel", "arn:$x"), "durable-async cancel 'arn:$x' --endpoint http://h:1");
  assert.match(answerCommand({}, "i", { result: "{}" }), /callback-success --callback-id i .* --result '\{\}'$/);
});

test("a saved timeline is XML, whatever the names contain", () => {
  const history = historyOf([STARTED, { type: "StepStarted", at: 1, Id: "a", Name: "<b>&\u0000\"", SubType: "Step" }]);
  const svg = timelineSvg(RUNNING, history, rowsOf(history, new Map()), 3);
  assert.match(svg, /^<svg [^>]*>/);
  assert.ok(svg.includes("&lt;b&gt;&amp;\ufffd&quot;"));
  assert.ok(!svg.includes("<b>"));
});
