import assert from "node:assert/strict";
import { test } from "node:test";
import { answerCommand, commandFor, forkCommand, localForkCommands, quoted } from "../src/model/commands.ts";
import { compare, firstDifference } from "../src/model/compare.ts";
import { idempotencyKey } from "../src/model/key.ts";
import { answerOf, fieldsOf } from "../src/model/form.ts";
import { Digits, found, parse } from "../src/model/json.ts";
import { lacking, refreshed, streamsOf, take } from "../src/model/listing.ts";
import { timelineSvg } from "../src/model/svg.ts";
import { counted, duration, exactUtc, functionName, size, version } from "../src/model/text.ts";
import { rowsOf } from "../src/model/timeline.ts";
import { type Report, replayed } from "../src/model/replay.ts";
import { Tail } from "../src/model/tail.ts";
import { blocking, type Execution, listedWaiting, sentence, waitingOn } from "../src/model/waiting.ts";
import type { HistoryEvent } from "../src/model/history.ts";
import { events, historyOf, STARTED, step } from "./events.ts";

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
  const shown = [0, 0.0004, 0.004, 0.9996, 1.25, 59.7, 3600, 11_520, 86_399, 3 * 86_400 + 61].map(duration);
  assert.deepEqual(shown, ["0 ms", "400 µs", "4 ms", "1000 ms", "1.3 s", "1 m", "1 h", "3 h 12 m", "23 h 59 m", "3 d"]);
});

test("exact times have microseconds", () => {
  assert.equal(exactUtc(1_700_000_000.123456), "2023-11-14T22:13:20.123456Z");
  assert.equal(exactUtc(1_700_000_000), "2023-11-14T22:13:20.000000Z");
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

const item = (name: string, status = "RUNNING") => ({ DurableExecutionArn: name, StartTimestamp: 1, Status: status });
const arns = (items: { DurableExecutionArn: string }[]) => items.map((each) => each.DurableExecutionArn).join("");
const FIRST = { first: true, last: false };

test("a fresh look changes rows in place and adds new ones in front", () => {
  const before = [item("a"), item("b", "FAILED")];
  const after = refreshed(before, [item("c"), item("a", "SUCCEEDED")], FIRST)!;
  assert.deepEqual(after.items.map((each) => `${each.DurableExecutionArn} ${each.Status}`), ["c RUNNING", "a SUCCEEDED", "b FAILED"]);
  assert.equal(after.goesOn, false);
  assert.equal(refreshed(before, [item("a")], FIRST)!.items, before);
});

test("what is gone from a part is gone from the list", () => {
  const before = [..."abcdef"].map((name) => item(name));
  assert.equal(arns(refreshed(before, [item("a"), item("d")], FIRST)!.items), "adef");
  assert.equal(arns(refreshed(before, [item("c"), item("e")], { first: false, last: false })!.items), "abcef");
  assert.equal(arns(refreshed(before, [item("c")], { first: false, last: true })!.items), "abc");
});

test("a list that a part has outgrown goes on after the part, or begins again", () => {
  const before = [item("c"), item("d")];
  assert.deepEqual(refreshed(before, [item("d"), item("e")], { first: false, last: false }), {
    items: [item("c"), item("d"), item("e")],
    goesOn: true,
  });
  assert.deepEqual(refreshed(before, [item("a"), item("b")], FIRST), { items: [item("a"), item("b")], goesOn: true });
  assert.equal(refreshed(before, [item("x")], { first: false, last: false }), undefined);
});

test("a list says what is waited for as a history does", () => {
  const shown = [
    { Type: "CALLBACK", Name: "approval", Status: "STARTED", Others: 2 },
    { Type: "STEP", Name: "charge", Status: "PENDING", Attempts: 2, DueTimestamp: 50, Others: 0 },
    { Type: "STEP", SubType: "WaitForCondition", Name: "ready", Status: "READY", Attempts: 4 },
    { Type: "STEP", Name: "charge", Status: "STARTED", Attempts: 0 },
    { Type: "CHAINED_INVOKE", Name: "ship", FunctionName: "shipping", Status: "STARTED" },
    {},
  ].map((waiting) => listedWaiting(waiting, 10));
  const expected = ["callback approval, and 2 more", "retry 3 in 40 s", "check 5 is due", "step charge", "function shipping", ""];
  assert.deepEqual(shown, expected);
});

/** A callback, and then steps, each with two events. */
function longHistory(steps: number) {
  return events([STARTED, ...callback, ...Array.from({ length: steps }, (_, number) => step(`${number}`, 2, 3)).flat()]);
}

function pagesOf(events: HistoryEvent[]) {
  const calls: number[] = [];
  const read = (marker: string | undefined, number: number) => {
    const size = number === 0 ? 100 : 1000;
    const end = marker === undefined ? events.length : Number(marker);
    calls.push(size);
    const Events = events.slice(Math.max(0, end - size), end).reverse();
    return Promise.resolve(end > size ? { Events, NextMarker: String(end - size) } : { Events });
  };
  return { read, calls };
}

test("a history is read backwards until it is certain what is open", async () => {
  const long = longHistory(500);
  const { read, calls } = pagesOf(long);
  const tail = await new Tail().read(read);
  assert.equal(tail.waitingOn(10), "callback approval");
  assert.deepEqual(calls, [100, 1000]);
  assert.equal(await tail.read(read), tail); // and then only its end
  assert.equal(calls.length, 3);
});

test("of a history that is too long, what may be open is unknown, and that is said", async () => {
  const long = longHistory(5_000);
  const tail = await new Tail().read(pagesOf(long).read);
  assert.match(tail.waitingOn(10), /^unknown: older than the last 2,0.. operations$/);
  const wait = { type: "WaitStarted", at: 20, Id: "w", Name: "pause", SubType: "Wait", details: { Duration: 5 } };
  const longer = [...long, ...events([wait], long.length)];
  assert.match((await tail.read(pagesOf(longer).read)).waitingOn(20), /^timer until .*, perhaps more$/);
});

test("the first difference of two executions is where one has another operation", () => {
  const left = historyOf([STARTED, ...step("a", 1, 2), ...step("b", 2, 3), ...step("x", 3, 4)]);
  const right = historyOf([STARTED, ...step("a", 1, 9), ...step("c", 9, 10), ...step("x", 10, 11)]);
  const pairs = compare(left, right);
  assert.deepEqual(pairs.map(({ id }) => id), ["a", "c", "b", "x"]);
  assert.equal(firstDifference(pairs), 1);
  assert.equal(firstDifference(compare(left, left)), -1);
});

const OF_A_REPLAY: Report = { Finding: "Replays", Passed: true, Text: "", ReachedOperationIds: ["a", "b", "c"] };

function shownOf(report: Partial<Report>, history = historyOf([STARTED, ...step("a", 1, 2), ...step("b", 2, 3), ...step("c", 3, 4)])) {
  return replayed(history, { ...OF_A_REPLAY, ...report }).map(
    ({ left, right, differences }) =>
      `${left?.name ?? "-"} | ${[right?.name, right?.note].filter(Boolean).join(", ") || "-"} | ${differences.join("; ")}`,
  );
}

test("a replay of what has not changed has no difference", () => {
  assert.deepEqual(shownOf({}), ["step a | step a | ", "step b | step b | ", "step c | step c | "]);
});

test("a replay that diverges is marked where it does, and ends there", () => {
  const label = { Type: "WAIT", SubType: "Wait", Name: "pause" };
  const report: Partial<Report> = { Finding: "Diverges", Id: "b", Requested: label, Where: "orders.py:7", ReachedOperationIds: ["a"] };
  assert.deepEqual(shownOf(report), [
    "step a | step a | ",
    "step b | wait pause, at orders.py:7 | the code calls wait pause here",
    "step c | not reached | ",
  ]);
});

test("a replay shows what the code no longer calls, what it would do next, and how it ends", () => {
  const next = { Action: "starts" as const, Id: "n", Type: "STEP", SubType: "Step", Name: "notify" };
  const report: Partial<Report> = {
    Finding: "EndsDifferently",
    ReachedOperationIds: ["a", "c"],
    Skipped: [{ Id: "b", Type: "STEP" }],
    NextOperations: [next],
    Recorded: { Status: "SUCCEEDED", Result: "1" },
  };
  assert.deepEqual(shownOf(report), [
    "step a | step a | ",
    "step b | - | not called any more",
    "step c | step c | ",
    "- | notify, starts it next | not on record",
    "the end | - | the code does not end",
  ]);
  const goesOn = { Finding: "Continues" as const, ReachedOperationIds: ["a"], NextOperations: [{ ...next, Id: "a", Action: "ends" as const }] };
  assert.equal(shownOf(goesOn, historyOf([STARTED, ...step("a", 1, 2)]))[0], "step a | step a, ends it | ");
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

test("a fork has a command, and where there are no forks there are commands for this machine", () => {
  const fork = { before: "b", name: "again", input: '{"id": 2}' };
  assert.equal(forkCommand({}, "arn:x", fork), `durable-async fork arn:x --before b --name again --input '{"id": 2}'`);
  assert.equal(forkCommand({}, "arn:x", { before: undefined, name: "", input: "" }), "durable-async fork arn:x");
  assert.deepEqual(localForkCommands({ region: "eu-west-1" }, "arn:x", fork), [
    "durable-async history arn:x --json --region eu-west-1 > history.jsonl",
    `durable-async run MODULE:HANDLER --fork history.jsonl --before b --input '{"id": 2}'`,
  ]);
  assert.equal(commandFor({}, "redrive", "arn:x", "b"), "durable-async redrive arn:x --from b");
});

test("a saved timeline is XML, whatever the names contain", () => {
  const history = historyOf([STARTED, { type: "StepStarted", at: 1, Id: "a", Name: "<b>&\u0000\"", SubType: "Step" }]);
  const svg = timelineSvg(RUNNING, history, rowsOf(history, new Map()), 3);
  assert.match(svg, /^<svg [^>]*>/);
  assert.ok(svg.includes("&lt;b&gt;&amp;\ufffd&quot;"));
  assert.ok(!svg.includes("<b>"));
});
