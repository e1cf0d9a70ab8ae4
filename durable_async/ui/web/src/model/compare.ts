// Two histories side by side, or a history and what today's code does with it. An operation's id says where it is in the
// program, so equal ids are compared.

import type { History, Operation } from "./history.ts";
import { duration } from "./text.ts";

/** What one side shows of an operation. */
export interface Side {
  name: string;
  /** Undefined: it has none, as an operation that has not begun. */
  status: string | undefined;
  note: string;
}

export interface Pair {
  id: string;
  depth: number;
  left: Side | undefined;
  right: Side | undefined;
  /** What differs, in words; empty: nothing. */
  differences: string[];
}

/** The operations of both in the order of the left one; what only the right one has follows what it follows there. */
export function compare(left: History, right: History): Pair[] {
  const order = [...left.operations()].map((each) => each.id);
  const places = new Map(order.map((id, place) => [id, place]));
  const extra = new Map<number, string[]>();
  let after = -1;
  for (const operation of right.operations()) {
    const place = places.get(operation.id);
    if (place !== undefined) after = place;
    else extra.set(after, [...(extra.get(after) ?? []), operation.id]);
  }
  const ids = [...(extra.get(-1) ?? []), ...order.flatMap((id, place) => [id, ...(extra.get(place) ?? [])])];
  return ids.map((id) => pair(id, left.byId.get(id), right.byId.get(id)));
}

export function firstDifference(pairs: Pair[]): number {
  return pairs.findIndex((each) => each.differences.length > 0);
}

export function sideOf(operation: Operation): Side {
  const { name, status, started, ended } = operation;
  return { name, status, note: ended === undefined ? "" : duration(ended - started) };
}

export function depthOf(operation: Operation | undefined): number {
  let depth = 0;
  for (let above = operation?.parent; above !== undefined; above = above.parent) depth++;
  return depth;
}

function pair(id: string, left: Operation | undefined, right: Operation | undefined): Pair {
  return {
    id,
    depth: depthOf(left ?? right),
    left: left && sideOf(left),
    right: right && sideOf(right),
    differences: differences(left, right),
  };
}

function differences(left: Operation | undefined, right: Operation | undefined): string[] {
  if (left === undefined) return ["only on the right"];
  if (right === undefined) return ["only on the left"];
  const found: string[] = [];
  if (left.name !== right.name) found.push(`name: ${left.name} and ${right.name}`);
  if (left.subType !== right.subType) found.push(`type: ${left.subType} and ${right.subType}`);
  if (left.status !== right.status) found.push(`status: ${left.status} and ${right.status}`);
  if (left.attempts.length !== right.attempts.length) {
    found.push(`attempts: ${left.attempts.length} and ${right.attempts.length}`);
  }
  return found;
}
