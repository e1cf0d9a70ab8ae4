import assert from "node:assert/strict";
import { test } from "node:test";
import { History } from "../src/model/history.ts";
import { events, historyOf, STARTED, step } from "./events.ts";

const place = { Id: "a", Name: "charge", SubType: "Step" };

test("a step that is retried has an attempt for each start, and is pending between them", () => {
  const failed = { RetryDetails: { CurrentAttempt: 1, NextAttemptDelaySeconds: 5 } };
  const given = [
    STARTED,
    { type: "StepStarted", at: 1, ...place },
    { type: "StepFailed", at: 2, ...place, details: failed },
  ];
  const before = historyOf(given).byId.get("a")!;
  assert.equal(before.status, "PENDING");
  assert.equal(before.due, 7);
  assert.equal(before.ended, undefined);
  const after = historyOf([
    ...given,
    { type: "StepStarted", at: 7, ...place },
    { type: "StepSucceeded", at: 8, ...place, details: { RetryDetails: { CurrentAttempt: 2 } } },
  ]).byId.get("a")!;
  assert.equal(after.status, "SUCCEEDED");
  assert.equal(after.ended, 8);
  assert.deepEqual(
    after.attempts.map(({ number, started, ended, failed }) => [number, started, ended, failed]),
    [
      [1, 1, 2, true],
      [2, 7, 8, false],
    ],
  );
});

test("a step that starts twice without an end was lost with its invocation", () => {
  const found = historyOf([STARTED, { type: "StepStarted", at: 1, ...place }, { type: "StepStarted", at: 9, ...place }]);
  assert.deepEqual(
    found.byId.get("a")!.attempts.map(({ ended }) => ended),
    [9, undefined],
  );
});

test("operations are a tree, in the order in which they started", () => {
  const context = { Id: "c", Name: "pack", SubType: "Map" };
  const found = historyOf([
    STARTED,
    { type: "ContextStarted", at: 1, ...context },
    ...step("d", 2, 3, "c"),
    ...step("e", 4, 5),
    ...step("f", 6, 7, "c"),
  ]);
  assert.deepEqual([...found.operations()].map(({ id }) => id), ["c", "d", "f", "e"]);
  assert.equal(found.byId.get("f")!.parent, found.byId.get("c"));
});

test("an event that comes a second time changes nothing", () => {
  const found = new History();
  const all = events([STARTED, ...step("a", 1, 2), ...step("b", 2, 3)]);
  for (const event of [...all, ...all.slice(2)]) found.take(event);
  assert.equal(found.byId.get("b")!.attempts.length, 1);
});

test("times may be ISO texts, as some services write them", () => {
  const found = new History();
  for (const event of events([STARTED, ...step("a", 1, 2)])) {
    found.take({ ...event, EventTimestamp: new Date(Number(event.EventTimestamp) * 1000).toISOString() });
  }
  assert.equal(found.byId.get("a")!.ended, 2);
});

test("a redrive clears what is done again, and opens the contexts around it", () => {
  const context = { Id: "c", Name: "pack", SubType: "RunInChildContext" };
  const found = historyOf([
    STARTED,
    { type: "ContextStarted", at: 1, ...context },
    ...step("d", 2, 3, "c"),
    ...step("e", 3, 4, "c"),
    { type: "ContextFailed", at: 5, ...context },
    { type: "ExecutionFailed", at: 6 },
    { type: "ExecutionRedriven", at: 9, details: { Cleared: ["e"], Reopened: ["c"] } },
  ]);
  assert.deepEqual([...found.operations()].map(({ id }) => id), ["c", "d"]);
  assert.equal(found.byId.get("c")!.status, "STARTED");
  assert.equal(found.closed, false);
});

test("an invocation has the times that its event tells", () => {
  const found = historyOf([
    STARTED,
    { type: "InvocationCompleted", at: 3, details: { StartTimestamp: 1, EndTimestamp: 2.5, RequestId: "r" } },
  ]);
  assert.deepEqual(found.invocations, [{ started: 1, ended: 2.5, requestId: "r", failed: false }]);
});
