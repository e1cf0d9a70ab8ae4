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

/** The open operations at which the execution stands: those without an open operation in them. */
export function blocking(operations: Iterable<Operation>): Operation[] {
  return [...operations].filter((each) => isOpen(each) && !each.children.some(isOpen) && each.kind !== "Context");
}

/** A callback of `wait_for_callback` has the name of the context around it. */
export function nameOf(operation: Operation): string {
  const parent = operation.parent;
  return operation.kind === "Callback" && parent?.subType === "WaitForCallback" ? parent.name : operation.name;
}

/** Such as `callback approval`, `timer until 14:05:00`, `retry 3 in 40 s` or `step charge`. */
export function waitsOn(operation: Operation, now: number): string {
  const name = nameOf(operation);
  switch (operation.kind) {
    case "Callback":
      return `callback ${name}`;
    case "Wait":
      return operation.due === undefined ? `timer ${name}` : `timer until ${localTime(operation.due, now)}`;
    case "ChainedInvoke":
      return `function ${operation.functionName ?? name}`;
    default:
      break;
  }
  if (operation.status !== "PENDING") return `step ${name}`;
  const what = operation.subType === "WaitForCondition" ? "check" : "retry";
  const attempt = (operation.attempts.at(-1)?.number ?? 0) + 1;
  const left = (operation.due ?? now) - now;
  return left > 0 ? `${what} ${attempt} in ${duration(left)}` : `${what} ${attempt} is due`;
}

/** The first of them, and how many others there are. */
export function waitingOn(operations: Operation[], now: number): string {
  const [first, ...others] = [...operations].sort((a, b) => urgency(a) - urgency(b));
  if (first === undefined) return "";
  return others.length === 0 ? waitsOn(first, now) : `${waitsOn(first, now)}, and ${others.length} more`;
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
  return `waits for ${waitsOn(operation, now)}`;
}

function summary(error: ErrorObject | undefined): string {
  const said = [error?.ErrorType, error?.ErrorMessage].filter(Boolean).join(": ");
  return said === "" ? "" : `: ${said.length > 200 ? `${said.slice(0, 200)}…` : said}`;
}
