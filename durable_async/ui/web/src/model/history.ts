// The events of a history, and the operations that they describe. Pure: no clock, no network, no document.

export type Details = Record<string, unknown>;

/** One event, as GetDurableExecutionHistory returns it. Its details are the member `<EventType>Details`. */
export interface HistoryEvent {
  EventType: string;
  EventId: number;
  EventTimestamp: number | string;
  Id?: string;
  Name?: string;
  SubType?: string;
  ParentId?: string;
  [member: string]: unknown;
}

export type OperationStatus =
  | "STARTED"
  | "PENDING"
  | "SUCCEEDED"
  | "FAILED"
  | "TIMED_OUT"
  | "STOPPED"
  | "CANCELLED";

export interface Attempt {
  number: number;
  started: number;
  ended: number | undefined;
  failed: boolean;
  /** When the next attempt is due. */
  next: number | undefined;
  startEvent: number;
  endEvent: number | undefined;
}

export interface Operation {
  id: string;
  name: string;
  /** Step, Wait, Callback, ChainedInvoke or Context. */
  kind: string;
  subType: string;
  parent: Operation | undefined;
  children: Operation[];
  status: OperationStatus;
  /** Epoch seconds, as all times here. */
  started: number;
  ended: number | undefined;
  /** Of steps and conditions. */
  attempts: Attempt[];
  /** When a wait ends, a callback times out, or the next attempt starts. */
  due: number | undefined;
  callbackId: string | undefined;
  heartbeatSeconds: number | undefined;
  /** JSON Schema of a callback's answer, as text; undefined: any answer fits, or it is not known. */
  answerSchema: string | undefined;
  functionName: string | undefined;
  /** The ids of its events. */
  events: number[];
}

export interface Invocation {
  started: number;
  ended: number;
  requestId: string;
  failed: boolean;
}

const STATUSES: [ending: string, status: OperationStatus][] = [
  ["Started", "STARTED"],
  ["Succeeded", "SUCCEEDED"],
  ["Failed", "FAILED"],
  ["TimedOut", "TIMED_OUT"],
  ["Stopped", "STOPPED"],
  ["Cancelled", "CANCELLED"],
];

const CLOSING: Record<string, string> = {
  ExecutionSucceeded: "SUCCEEDED",
  ExecutionFailed: "FAILED",
  ExecutionTimedOut: "TIMED_OUT",
  ExecutionStopped: "STOPPED",
};

export function isOpen(operation: Operation): boolean {
  return operation.status === "STARTED" || operation.status === "PENDING";
}

/** An API time in epoch seconds. Some services write them as ISO texts. */
export function seconds(time: unknown): number {
  return typeof time === "string" ? Date.parse(time) / 1000 : Number(time);
}

export function detailsOf(event: HistoryEvent): Details {
  return (event[`${event.EventType}Details`] as Details | undefined) ?? {};
}

/** Takes the events of one history in their order. An event that it has already is ignored. */
export class History {
  readonly roots: Operation[] = [];
  readonly byId = new Map<string, Operation>();
  readonly invocations: Invocation[] = [];
  /** When the execution was redriven: what was cleared is done again from then on. */
  readonly redriven: number[] = [];
  lastEvent = 0;
  first: number | undefined;
  last: number | undefined;
  /** How the execution ended; undefined: it is open. */
  end: { status: string; at: number } | undefined;
  cancelRequested: number | undefined;
  /** The ARN of the execution whose record this one continues. */
  forkedFrom: string | undefined;

  take(event: HistoryEvent): void {
    if (event.EventId <= this.lastEvent) return;
    this.lastEvent = event.EventId;
    const at = seconds(event.EventTimestamp);
    this.first ??= at;
    this.last = Math.max(this.last ?? at, at);
    const status = CLOSING[event.EventType];
    if (status !== undefined) this.end = { status, at };
    switch (event.EventType) {
      case "ExecutionStarted":
        this.forkedFrom = detailsOf(event)["ForkedFrom"] as string | undefined;
        return;
      case "ExecutionRedriven":
        return this.redrive(detailsOf(event), at);
      case "ExecutionCancellationRequested":
        this.cancelRequested = at;
        return;
      case "InvocationCompleted":
        return this.invoked(detailsOf(event), at);
    }
    const parts = split(event.EventType);
    if (parts !== undefined && event.Id !== undefined) this.operate(event, event.Id, parts, at);
  }

  get closed(): boolean {
    return this.end !== undefined;
  }

  *operations(): Generator<Operation> {
    const waiting = [...this.roots].reverse();
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      yield next;
      for (let place = next.children.length - 1; place >= 0; place--) waiting.push(next.children[place]!);
    }
  }

  private operate(event: HistoryEvent, id: string, [kind, status]: [string, OperationStatus], at: number): void {
    const operation = this.byId.get(id) ?? this.add(event, id, kind, at);
    operation.events.push(event.EventId);
    const details = detailsOf(event);
    if (kind === "Step") attempt(operation, event, details, status, at);
    operation.status = status;
    if (status === "STARTED") {
      started(operation, details, at);
      return;
    }
    const next = operation.attempts.at(-1)?.next;
    if (next === undefined) {
      operation.ended = at;
    } else {
      operation.status = "PENDING";
      operation.due = next;
    }
  }

  private add(event: HistoryEvent, id: string, kind: string, at: number): Operation {
    const parent = event.ParentId === undefined ? undefined : this.byId.get(event.ParentId);
    const operation: Operation = {
      id,
      name: event.Name ?? event.SubType ?? kind,
      kind,
      subType: event.SubType ?? kind,
      parent,
      children: [],
      status: "STARTED",
      started: at,
      ended: undefined,
      attempts: [],
      due: undefined,
      callbackId: undefined,
      heartbeatSeconds: undefined,
      answerSchema: undefined,
      functionName: undefined,
      events: [],
    };
    this.byId.set(id, operation);
    (parent?.children ?? this.roots).push(operation);
    return operation;
  }

  private invoked(details: Details, at: number): void {
    this.invocations.push({
      started: details["StartTimestamp"] === undefined ? at : seconds(details["StartTimestamp"]),
      ended: details["EndTimestamp"] === undefined ? at : seconds(details["EndTimestamp"]),
      requestId: String(details["RequestId"] ?? ""),
      failed: payload(details["Error"]) !== undefined,
    });
  }

  private redrive(details: Details, at: number): void {
    this.redriven.push(at);
    this.end = undefined;
    this.cancelRequested = undefined;
    const cleared = new Set(details["Cleared"] as string[] | undefined);
    for (const id of cleared) this.byId.delete(id);
    const keep = (each: Operation) => !cleared.has(each.id);
    this.roots.splice(0, Infinity, ...this.roots.filter(keep));
    for (const operation of this.byId.values()) operation.children = operation.children.filter(keep);
    for (const id of (details["Reopened"] as string[] | undefined) ?? []) {
      const context = this.byId.get(id);
      if (context !== undefined) Object.assign(context, { status: "STARTED", ended: undefined });
    }
  }
}

/** The payload in `{"Payload": ..., "Truncated": false}`; undefined if there is none, or it was left out. */
export function payload(carrier: unknown): unknown {
  return (carrier as { Payload?: unknown } | undefined)?.Payload;
}

function started(operation: Operation, details: Details, at: number): void {
  switch (operation.kind) {
    case "Wait":
      operation.due =
        details["ScheduledEndTimestamp"] === undefined
          ? at + Number(details["Duration"] ?? 0)
          : seconds(details["ScheduledEndTimestamp"]);
      break;
    case "Callback":
      operation.callbackId = details["CallbackId"] as string | undefined;
      operation.heartbeatSeconds = (details["HeartbeatTimeout"] as number | undefined) || undefined;
      operation.answerSchema = details["AnswerSchema"] as string | undefined;
      operation.due = details["Timeout"] ? at + Number(details["Timeout"]) : undefined;
      break;
    case "ChainedInvoke":
      operation.functionName = details["FunctionName"] as string | undefined;
  }
}

function attempt(
  operation: Operation,
  event: HistoryEvent,
  details: Details,
  status: OperationStatus,
  at: number,
): void {
  const retry = (details["RetryDetails"] as Details | undefined) ?? {};
  let last = operation.attempts.at(-1);
  if (status === "STARTED") {
    // A second start without an end is the same attempt, which a lost invocation left.
    if (last !== undefined && last.ended === undefined) last.ended = at;
    operation.attempts.push(begin(operation.attempts.length + 1, at, event.EventId));
    operation.due = undefined;
    return;
  }
  if (last === undefined || last.ended !== undefined) {
    last = begin(operation.attempts.length + 1, last?.next ?? operation.started, event.EventId);
    operation.attempts.push(last);
  }
  last.number = Number(retry["CurrentAttempt"] ?? last.number);
  last.ended = at;
  last.endEvent = event.EventId;
  last.failed = status === "FAILED";
  const delay = retry["NextAttemptDelaySeconds"];
  last.next = delay ? at + Number(delay) : undefined;
}

function begin(number: number, started: number, startEvent: number): Attempt {
  return { number, started, ended: undefined, failed: false, next: undefined, startEvent, endEvent: undefined };
}

function split(type: string): [string, OperationStatus] | undefined {
  if (type.startsWith("Execution") || type.startsWith("Invocation")) return undefined;
  const found = STATUSES.find(([ending]) => type.endsWith(ending));
  return found && [type.slice(0, -found[0].length), found[1]];
}
