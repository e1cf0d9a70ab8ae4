// What an execution waits for, in words.

import { type History, isOpen, type Operation } from "./history.ts";
import { duration, localTime } from "./text.ts";

/** The answer of GetDurableExecution. */
export interface Execution {
  DurableExecutionArn: string;
  DurableExecutionName: string;
  FunctionArn: string;
  Status: string;
  StartTimestamp: number;
  EndTimestamp?: number;
  Version?: string;
  InputPayload?: string;
  Result?: string;
  Error?: ErrorObject;
  ExpectedExecutionTimeoutTimestamp?: number;
  DurableConfig?: { ExecutionTimeout?: number; RetentionPeriodInDays?: number };
  PauseDetails?: { PauseRequestTimestamp: number; Reason?: string; ExecutionTimeoutPaused?: boolean };
}

export interface ErrorObject {
  ErrorType?: string;
  ErrorMessage?: string;
  ErrorData?: string;
  StackTrace?: string[];
}

/** What a list says of an open execution: `WaitingFor`, which is empty if no operation is open. */
export interface WaitingFor {
  Id?: string;
  Type?: string;
  SubType?: string;
  Name?: string;
  Status?: string;
  DueTimestamp?: number;
  Attempts?: number;
  FunctionName?: string;
  /** How many other operations are waited for. */
  Others?: number;
}

/** An open operation, as far as it is told what is waited for. */
export interface Waited {
  kind: string;
  name: string;
  due: number | undefined;
  functionName: string | undefined;
  /** The attempt that comes next; undefined: none is waited for. */
  next: number | undefined;
  /** The operation polls a condition. */
  polls: boolean;
}

/** The open operations at which the workflow stands: no contexts, and nothing that an ended context left behind. */
export function blocking(operations: Iterable<Operation>): Operation[] {
  return [...operations].filter((each) => isOpen(each) && each.kind !== "Context" && isReached(each));
}

function isReached(operation: Operation): boolean {
  for (let above = operation.parent; above !== undefined; above = above.parent) if (!isOpen(above)) return false;
  return true;
}

/** A callback of `wait_for_callback` has the name of the context around it. */
export function nameOf(operation: Operation): string {
  const parent = operation.parent;
  return operation.kind === "Callback" && parent?.subType === "WaitForCallback" ? parent.name : operation.name;
}

export function waited(operation: Operation): Waited {
  return {
    kind: operation.kind,
    name: nameOf(operation),
    due: operation.due,
    functionName: operation.functionName,
    next: operation.status === "PENDING" ? (operation.attempts.at(-1)?.number ?? 0) + 1 : undefined,
    polls: operation.subType === "WaitForCondition",
  };
}

const KINDS: Record<string, string> = { CALLBACK: "Callback", WAIT: "Wait", CHAINED_INVOKE: "ChainedInvoke", STEP: "Step" };

/** Such as `callback approval, and 2 more`; empty: no operation is open. */
export function listedWaiting(waiting: WaitingFor, now: number): string {
  if (waiting.Type === undefined) return "";
  const first: Waited = {
    kind: KINDS[waiting.Type] ?? waiting.Type,
    name: waiting.Name || waiting.SubType || waiting.Type.toLowerCase(),
    due: waiting.DueTimestamp,
    functionName: waiting.FunctionName,
    next: waiting.Status === "STARTED" ? undefined : (waiting.Attempts ?? 0) + 1,
    polls: waiting.SubType === "WaitForCondition",
  };
  return withOthers(first, waiting.Others ?? 0, now);
}

/** Such as `callback approval`, `timer until 14:05:00`, `retry 3 in 40 s` or `step charge`. */
export function waitsOn({ kind, name, due, functionName, next, polls }: Waited, now: number): string {
  if (kind === "Callback") return `callback ${name}`;
  if (kind === "Wait") return due === undefined ? `timer ${name}` : `timer until ${localTime(due, now)}`;
  if (kind === "ChainedInvoke") return `function ${functionName ?? name}`;
  if (next === undefined) return `step ${name}`;
  const left = (due ?? now) - now;
  return `${polls ? "check" : "retry"} ${next} ${left > 0 ? `in ${duration(left)}` : "is due"}`;
}

/** The first of them, and how many others there are. */
export function waitingOn(operations: Operation[], now: number): string {
  const [first, ...others] = [...operations].sort((a, b) => urgency(a) - urgency(b));
  return first === undefined ? "" : withOthers(waited(first), others.length, now);
}

function withOthers(first: Waited, others: number, now: number): string {
  return others === 0 ? waitsOn(first, now) : `${waitsOn(first, now)}, and ${others} more`;
}

/** What a person can answer comes first, then what comes to an end first. */
function urgency(operation: Operation): number {
  return operation.kind === "Callback" ? 0 : operation.due ?? 1e11;
}

/** The state of the execution in one sentence. */
export function sentence(execution: Execution, history: History, now: number): string {
  const took = duration((execution.EndTimestamp ?? now) - execution.StartTimestamp);
  const reason = execution.PauseDetails?.Reason;
  switch (execution.Status) {
    case "SUCCEEDED":
      return `succeeded after ${took}`;
    case "FAILED":
      return `failed after ${took}${summary(execution.Error)}`;
    case "TIMED_OUT":
      return `timed out after ${took}`;
    case "STOPPED":
      return `was stopped after ${took}${summary(execution.Error)}`;
    case "PAUSED":
    case "PAUSING":
      return `is ${execution.Status.toLowerCase()}${reason ? `: ${reason}` : ""}`;
    default:
      break;
  }
  const cancelled = history.cancelRequested === undefined ? "" : "is cancelled, and ";
  const open = blocking(history.operations());
  const [only] = open;
  if (only === undefined) return `${cancelled}runs`;
  if (open.length > 1) return `${cancelled}waits for ${waitingOn(open, now)}`;
  return `${cancelled}${one(only, now)}`;
}

function one(operation: Operation, now: number): string {
  if (operation.kind === "Callback") {
    const left = operation.due === undefined ? "" : `, times out in ${duration(operation.due - now)}`;
    return `waits for callback ${nameOf(operation)}${left}`;
  }
  if (operation.kind === "Step" && operation.status === "STARTED") return `runs step ${operation.name}`;
  return `waits for ${waitsOn(waited(operation), now)}`;
}

function summary(error: ErrorObject | undefined): string {
  const said = [error?.ErrorType, error?.ErrorMessage].filter(Boolean).join(": ");
  return said === "" ? "" : `: ${said.length > 200 ? `${said.slice(0, 200)}…` : said}`;
}
