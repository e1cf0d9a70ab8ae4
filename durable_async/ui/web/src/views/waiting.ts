// What the visible open executions wait for. The list does not say it, so the ends of their histories are read.

import { useEffect, useRef, useState } from "preact/hooks";
import { history, type Summary } from "../api.ts";
import { detailsOf, History, seconds } from "../model/history.ts";
import { blocking, waitingOn } from "../model/waiting.ts";

const EVENTS = 100; // of the end of a history
const AGAIN_SECONDS = 2;
const AT_ONCE = 4;

export interface State {
  status: string;
  ended: number | undefined;
  waitingOn: (now: number) => string;
}

const CLOSED: Record<string, string> = {
  ExecutionSucceeded: "SUCCEEDED",
  ExecutionFailed: "FAILED",
  ExecutionTimedOut: "TIMED_OUT",
  ExecutionStopped: "STOPPED",
};

export function useWaiting(visible: Summary[]): ReadonlyMap<string, State> {
  const [states, setStates] = useState<ReadonlyMap<string, State>>(new Map());
  const looked = useRef(new Map<string, number>());
  const latest = useRef(visible);
  latest.current = visible;
  useEffect(() => {
    const ended = new AbortController();
    let running = 0;
    const look = () => {
      if (document.hidden) return;
      const due = Date.now() - AGAIN_SECONDS * 1000;
      for (const { DurableExecutionArn: arn, Status, EndTimestamp } of latest.current) {
        if (EndTimestamp !== undefined || (looked.current.get(arn) ?? 0) > due || running >= AT_ONCE) continue;
        looked.current.set(arn, Date.now());
        running++;
        void read(arn, Status, ended.signal)
          .then((state) => setStates((before) => new Map(before).set(arn, state)))
          .catch(() => undefined) // the row keeps what it shows, and is looked at again
          .finally(() => {
            running--;
            if (!ended.signal.aborted) look();
          });
      }
    };
    const timer = setInterval(look, 250);
    return () => {
      clearInterval(timer);
      ended.abort();
    };
  }, []);
  return states;
}

async function read(arn: string, status: string, signal: AbortSignal): Promise<State> {
  const query = { ReverseOrder: true, IncludeExecutionData: false, MaxItems: EVENTS };
  const page = await history(arn, query, signal);
  const found = new History();
  for (const event of [...page.Events].reverse()) found.take(event);
  const closing = page.Events.find((event) => CLOSED[event.EventType] !== undefined);
  if (closing !== undefined && found.closed) {
    return { status: CLOSED[closing.EventType]!, ended: seconds(closing.EventTimestamp), waitingOn: () => "" };
  }
  const open = blocking(found.operations());
  const cancelled = page.Events.some((event) => event.EventType === "ExecutionCancellationRequested");
  const pause = page.Events.find((event) => /^Execution(Paused|Resumed)$/.test(event.EventType));
  const paused = pause?.EventType === "ExecutionPaused" ? reason(detailsOf(pause)) : undefined;
  return {
    status,
    ended: undefined,
    waitingOn: (now) => paused ?? `${cancelled ? "cancelled; " : ""}${waitingOn(open, now)}`,
  };
}

function reason(details: Record<string, unknown>): string {
  const said = (details["Reason"] as { Payload?: string } | undefined)?.Payload;
  return said === undefined ? "to be resumed" : `to be resumed: ${said}`;
}
