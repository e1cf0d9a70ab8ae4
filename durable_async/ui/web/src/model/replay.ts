// The report of a replay beside the history that was replayed. Pure.

import { depthOf, type Pair, type Side, sideOf } from "./compare.ts";
import type { History, Operation } from "./history.ts";
import type { ErrorObject } from "./waiting.ts";

interface Label {
  Type: string;
  SubType?: string;
  Name?: string;
}

interface Placed extends Label {
  Id: string;
  Within?: Label[];
}

interface End {
  Status: string;
  Result?: string;
  Error?: ErrorObject;
}

/** The JSON of a `ReplayReport`, and what the page adds to it. */
export interface Report {
  Finding: "Replays" | "Continues" | "Diverges" | "EndsDifferently" | "Skips";
  Passed: boolean;
  /** For people: the finding, and then what the table shows too. */
  Text: string;
  ReachedOperationIds: string[];
  NextOperations?: (Placed & { Action: "starts" | "attempts" | "ends" })[];
  Skipped?: Placed[];
  WaitsFor?: Placed[];
  /** Of Diverges: the operation in whose place the code calls another. */
  Id?: string;
  Requested?: Label;
  Where?: string;
  /** Of EndsDifferently: the recorded end. */
  Recorded?: End | Label;
  Now?: End;
}

/** The recorded operations on the left, and what today's code does with each on the right. */
export function replayed(history: History, report: Report): Pair[] {
  const reached = new Set(report.ReachedOperationIds);
  const skipped = new Set(report.Skipped?.map((each) => each.Id));
  const waits = new Set(report.WaitsFor?.map((each) => each.Id));
  const next = new Map(report.NextOperations?.map((each) => [each.Id, each]));
  const pairs: Pair[] = [];
  for (const operation of history.operations()) {
    const { id } = operation;
    const action = next.get(id)?.Action;
    const note = action === "ends" ? "ends it" : action ? "makes an attempt" : waits.has(id) ? "waits for it" : "";
    const differs = report.Finding === "Diverges" && id === report.Id;
    const same: Side = { name: operation.name, status: operation.status, note };
    pairs.push({
      id,
      depth: depthOf(operation),
      left: sideOf(operation),
      right: differs ? called(report) : reached.has(id) ? same : skipped.has(id) ? undefined : passedOver(operation, report),
      differences: differs ? [`the code calls ${labelText(report.Requested)} here`] : skipped.has(id) ? ["not called any more"] : [],
    });
    next.delete(id);
  }
  const isOther = report.Finding === "EndsDifferently";
  for (const each of next.values()) {
    const right = { name: each.Name ?? each.SubType ?? each.Type, status: undefined, note: `${each.Action} it next` };
    const differences = isOther ? ["not on record"] : [];
    pairs.push({ id: each.Id, depth: each.Within?.length ?? 0, left: undefined, right, differences });
  }
  return [...pairs, ...endOf(report)];
}

function called({ Requested, Where }: Report): Side {
  return { name: labelText(Requested), status: undefined, note: Where === undefined ? "" : `at ${Where}` };
}

/** Of an operation that the replay has no need to reach. */
function passedOver(operation: Operation, report: Report): Side {
  const note = report.Finding === "Diverges" && operation.parent === undefined ? "not reached" : "not replayed";
  return { name: "", status: undefined, note };
}

function endOf({ Finding, Recorded, Now }: Report): Pair[] {
  const end = Recorded !== undefined && "Status" in Recorded ? Recorded : undefined;
  if (end === undefined && Now === undefined) return [];
  const differences = Finding === "EndsDifferently" ? [Now === undefined ? "the code does not end" : "another end"] : [];
  return [{ id: "end", depth: 0, left: sideOfEnd(end), right: sideOfEnd(Now), differences }];
}

function sideOfEnd(end: End | undefined): Side | undefined {
  if (end === undefined) return undefined;
  const text = end.Error === undefined ? (end.Result ?? "") : [end.Error.ErrorType, end.Error.ErrorMessage].filter(Boolean).join(": ");
  return { name: "the end", status: end.Status, note: text.length > 200 ? `${text.slice(0, 200)}…` : text };
}

function labelText(label: Label | undefined): string {
  if (label === undefined) return "another operation";
  const kind = (label.SubType ?? label.Type).toLowerCase().replaceAll("_", " ");
  return label.Name === undefined ? kind : `${kind} ${label.Name}`;
}
