// The layout of a timeline: its rows, its compressed time, and the segments of a row. Pure.

import { type History, type Operation, isOpen } from "./history.ts";

/** Contexts with more parts than this are folded until they are opened. */
const FOLDED_ABOVE = 8;
/** A gap without activity is compressed if it is longer than this part of all activity, and than this in seconds. */
const GAP_SHARE = 0.25;
const GAP_SECONDS = 0.05;
/** No piece of activity is shorter than this in the layout, in seconds. */
const SHORTEST = 0.001;
/** In pixels, of a compressed gap, and at most this part of the width for all of them. */
const BREAK_WIDTH = 30;
const BREAK_SHARE = 0.4;
/** In pixels, so that it can be clicked. */
export const SHORTEST_SEGMENT = 4;

export interface Row {
  operation: Operation;
  depth: number;
  /** Undefined: there is nothing in it. */
  open: boolean | undefined;
  /** The operations in a folded row, by status. */
  counts: Map<string, number> | undefined;
}

/** Whether the viewer has folded or opened a row. */
export type Folding = ReadonlyMap<string, boolean>;

export function isFolded(operation: Operation, folding: Folding): boolean {
  const chosen = folding.get(operation.id);
  if (chosen !== undefined) return chosen;
  if (operation.subType === "WaitForCallback") return !operation.children.some((each) => each.status === "FAILED");
  return operation.children.length > FOLDED_ABOVE;
}

/** The rows in the order in which a tree is read. */
export function rowsOf(history: History, folding: Folding): Row[] {
  const rows: Row[] = [];
  const waiting = history.roots.map((operation) => ({ operation, depth: 0 })).reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { operation, depth } = next;
    const parts = operation.children;
    const folded = parts.length > 0 && isFolded(operation, folding);
    rows.push({
      operation,
      depth,
      open: parts.length === 0 ? undefined : !folded,
      counts: folded ? countsOf(parts) : undefined,
    });
    if (folded) continue;
    for (let place = parts.length - 1; place >= 0; place--) {
      waiting.push({ operation: parts[place]!, depth: depth + 1 });
    }
  }
  return rows;
}

function countsOf(operations: Operation[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { status } of operations) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}

export type SegmentKind = "run" | "failed" | "open" | "wait" | "retry" | "context" | "cancelled";

export interface Segment {
  kind: SegmentKind;
  from: number;
  to: number;
  label: string;
}

/** What a row shows: one segment for each attempt, delays between them, or one for the whole operation. */
export function segmentsOf(operation: Operation, now: number): Segment[] {
  const to = operation.ended ?? Math.max(now, operation.started);
  if (operation.attempts.length === 0) {
    return [{ kind: wholeKind(operation), from: operation.started, to, label: operation.status }];
  }
  const segments: Segment[] = [];
  for (const attempt of operation.attempts) {
    const ended = attempt.ended ?? now;
    const kind = attempt.ended === undefined ? "open" : attempt.failed ? "failed" : "run";
    segments.push({ kind, from: attempt.started, to: ended, label: `attempt ${attempt.number}` });
    if (attempt.next !== undefined) {
      const following = operation.attempts[segments.filter((each) => each.kind !== "retry").length];
      const until = following?.started ?? Math.min(Math.max(now, ended), attempt.next);
      segments.push({ kind: "retry", from: ended, to: until, label: `delay after attempt ${attempt.number}` });
    }
  }
  return segments;
}

function wholeKind(operation: Operation): SegmentKind {
  if (operation.kind === "Context") return operation.status === "FAILED" ? "failed" : "context";
  if (operation.status === "FAILED" || operation.status === "TIMED_OUT" || operation.status === "STOPPED") return "failed";
  if (operation.status === "CANCELLED") return "cancelled";
  return operation.kind === "ChainedInvoke" ? (isOpen(operation) ? "open" : "run") : "wait";
}

export interface Piece {
  from: number;
  to: number;
  /** True: time in which nothing ran, compressed. */
  gap: boolean;
  x: number;
  width: number;
}

/** Maps times to pixels. Activity is linear; gaps without any are as narrow as a break. */
export class Scale {
  constructor(
    readonly pieces: Piece[],
    readonly width: number,
  ) {}

  x(time: number): number {
    let low = 0;
    let high = this.pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pieces[middle]!.from <= time) low = middle;
      else high = middle - 1;
    }
    const piece = this.pieces[low];
    if (piece === undefined) return 0;
    const length = piece.to - piece.from;
    const part = length <= 0 ? 0 : (time - piece.from) / length;
    return piece.x + Math.min(1, Math.max(0, part)) * piece.width;
  }

  /** Where a segment is: at least SHORTEST_SEGMENT wide, and never beyond the right end. */
  place(segment: { from: number; to: number }): { x: number; width: number } {
    const x = this.x(segment.from);
    const width = Math.max(SHORTEST_SEGMENT, this.x(segment.to) - x);
    return { x: Math.max(0, Math.min(x, this.width - width)), width };
  }
}

/** The spans in which something ran: attempts, invocations, and the moment of every start and end. */
export function activityOf(history: History, now: number): [number, number][] {
  const spans: [number, number][] = history.invocations.map(({ started, ended }) => [started, ended]);
  if (history.first !== undefined) spans.push([history.first, history.first]);
  if (history.last !== undefined) spans.push([history.last, history.last]);
  for (const operation of history.byId.values()) {
    spans.push([operation.started, operation.started]);
    if (operation.ended !== undefined) spans.push([operation.ended, operation.ended]);
    for (const { started, ended } of operation.attempts) spans.push([started, ended ?? now]);
  }
  if (!history.closed && history.first !== undefined) spans.push([now, now]);
  return merged(spans);
}

export function scaleOf(activity: [number, number][], width: number): Scale {
  if (activity.length === 0) return new Scale([], width);
  const active = activity.reduce((sum, [from, to]) => sum + (to - from), 0);
  const longest = Math.max(GAP_SECONDS, active * GAP_SHARE);
  const pieces: Piece[] = [];
  for (const [from, to] of activity) {
    const before = pieces.at(-1);
    if (before !== undefined && from - before.to <= longest) {
      before.to = to;
      continue;
    }
    if (before !== undefined) pieces.push({ from: before.to, to: from, gap: true, x: 0, width: 0 });
    pieces.push({ from, to, gap: false, x: 0, width: 0 });
  }
  return new Scale(placed(pieces, width), width);
}

function placed(pieces: Piece[], width: number): Piece[] {
  const gaps = pieces.filter((each) => each.gap).length;
  const gapWidth = gaps === 0 ? 0 : Math.min(BREAK_WIDTH, (width * BREAK_SHARE) / gaps);
  const weight = (piece: Piece) => Math.max(SHORTEST, piece.to - piece.from);
  const total = pieces.reduce((sum, piece) => sum + (piece.gap ? 0 : weight(piece)), 0);
  const left = width - gaps * gapWidth;
  let x = 0;
  for (const piece of pieces) {
    piece.x = x;
    piece.width = piece.gap ? gapWidth : (left * weight(piece)) / total;
    x += piece.width;
  }
  return pieces;
}

function merged(spans: [number, number][]): [number, number][] {
  const found: [number, number][] = [];
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const before = found.at(-1);
    if (before !== undefined && from <= before[1]) before[1] = Math.max(before[1], to);
    else found.push([from, Math.max(from, to)]);
  }
  return found;
}

/** The rows whose name, kind or status contains the text. */
export function matching(rows: Row[], text: string): Row[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return rows;
  return rows.filter(({ operation }) =>
    `${operation.name}\n${operation.subType}\n${operation.status}\n${operation.id}`.toLowerCase().includes(wanted),
  );
}
