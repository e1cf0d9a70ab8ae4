import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { activityOf, matching, rowsOf, scaleOf, segmentsOf, SHORTEST_SEGMENT } from "../src/model/timeline.ts";
import { historyOf, STARTED, step } from "./events.ts";

const DAY = 86_400;
const names = (rows: { operation: { id: string } }[]) => rows.map(({ operation }) => operation.id);

function batch(parts: number) {
  const context = { Id: "m", Name: "pack", SubType: "Map" };
  const inside = Array.from({ length: parts }, (_, place) => step(`p${place}`, 1 + place, 2 + place, "m")).flat();
  return historyOf([STARTED, { type: "ContextStarted", at: 1, ...context }, ...inside]);
}

test("a large batch is folded, with counts, until it is opened", () => {
  const history = batch(12);
  const [folded, ...rest] = rowsOf(history, new Map());
  assert.equal(rest.length, 0);
  assert.deepEqual([...folded!.counts!], [["SUCCEEDED", 12]]);
  assert.equal(folded!.open, false);
  const open = rowsOf(history, new Map([["m", false]]));
  assert.equal(open.length, 13);
  assert.deepEqual(
    open.map(({ depth }) => depth),
    [0, ...Array(12).fill(1)],
  );
});

test("a small batch is open until it is folded", () => {
  assert.equal(rowsOf(batch(3), new Map()).length, 4);
  assert.equal(rowsOf(batch(3), new Map([["m", true]])).length, 1);
});

test("three days of waiting do not flatten 40 ms of work", () => {
  const wait = { Id: "w", Name: "cooling off", SubType: "Wait" };
  const history = historyOf([
    STARTED,
    ...step("a", 0, 0.04),
    { type: "WaitStarted", at: 0.05, ...wait, details: { Duration: 3 * DAY } },
    { type: "WaitSucceeded", at: 3 * DAY, ...wait },
    ...step("b", 3 * DAY, 3 * DAY + 0.04),
    { type: "ExecutionSucceeded", at: 3 * DAY + 0.05 },
  ]);
  const scale = scaleOf(activityOf(history, 4 * DAY), 1000);
  const [gap] = scale.pieces.filter((each) => each.gap);
  assert.equal(scale.pieces.filter((each) => each.gap).length, 1);
  assert.ok(gap!.width <= 30);
  assert.ok(scale.place({ from: 0, to: 0.04 }).width > 300);
  assert.ok(scale.place({ from: 3 * DAY, to: 3 * DAY + 0.04 }).width > 300);
});

test("an open execution reaches until now", () => {
  const history = historyOf([STARTED, ...step("a", 0, 1)]);
  const scale = scaleOf(activityOf(history, 500), 1000);
  assert.ok(scale.x(500) > 990);
  assert.ok(scale.x(1) < 970);
});

const spans = fc
  .array(fc.tuple(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.double({ min: 0, max: 1e4, noNaN: true })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((pairs) => {
    const sorted = pairs.map(([from, length]) => [from, from + length] as [number, number]).sort((a, b) => a[0] - b[0]);
    const disjoint: [number, number][] = [];
    for (const [from, to] of sorted) {
      const last = disjoint.at(-1);
      if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
      else disjoint.push([from, to]);
    }
    return disjoint;
  });

test("later times are never further left, and everything is within the width", () => {
  fc.assert(
    fc.property(spans, fc.integer({ min: 50, max: 4000 }), (activity, width) => {
      const scale = scaleOf(activity, width);
      const end = activity.at(-1)![1];
      let before = -1;
      for (let part = 0; part <= 100; part++) {
        const x = scale.x((end * part) / 100);
        assert.ok(x >= before - 1e-6 && x >= 0 && x <= width + 1e-6);
        before = x;
      }
      const used = scale.pieces.reduce((sum, piece) => sum + piece.width, 0);
      assert.ok(Math.abs(used - width) < 1e-3);
      for (const [from, to] of activity) {
        const { x, width: shown } = scale.place({ from, to });
        assert.ok(shown >= SHORTEST_SEGMENT && x >= 0 && x + shown <= width + SHORTEST_SEGMENT);
      }
    }),
  );
});

test("attempts and the delays between them are segments of their own", () => {
  const place = { Id: "a", Name: "charge", SubType: "Step" };
  const retry = (attempt: number) => ({ RetryDetails: { CurrentAttempt: attempt, NextAttemptDelaySeconds: 10 } });
  const history = historyOf([
    STARTED,
    { type: "StepStarted", at: 1, ...place },
    { type: "StepFailed", at: 2, ...place, details: retry(1) },
    { type: "StepStarted", at: 12, ...place },
    { type: "StepFailed", at: 13, ...place, details: retry(2) },
  ]);
  const shown = segmentsOf(history.byId.get("a")!, 15).map(({ kind, from, to }) => [kind, from, to]);
  assert.deepEqual(shown, [
    ["failed", 1, 2],
    ["retry", 2, 12],
    ["failed", 12, 13],
    ["retry", 13, 15],
  ]);
});

test("a search keeps the rows with the text in their name, type or status", () => {
  const rows = rowsOf(batch(3), new Map());
  assert.deepEqual(names(matching(rows, "P1")), ["p1"]);
  assert.deepEqual(names(matching(rows, " map ")), ["m"]);
  assert.equal(matching(rows, "").length, 4);
});
