// Histories for tests, written as a list of what happened.

import { History, type HistoryEvent } from "../src/model/history.ts";

type Given = Partial<HistoryEvent> & { type: string; at: number; details?: Record<string, unknown> };

/** @param after the id of the event before them */
export function events(given: Given[], after = 0): HistoryEvent[] {
  return given.map(({ type, at, details, ...rest }, place) => ({
    EventType: type,
    EventId: after + place + 1,
    EventTimestamp: at,
    ...(details && { [`${type}Details`]: details }),
    ...rest,
  }));
}

export function historyOf(given: Given[]): History {
  const history = new History();
  for (const event of events(given)) history.take(event);
  return history;
}

/** A step that succeeds. */
export function step(id: string, from: number, to: number, parent?: string): Given[] {
  const place = { Id: id, Name: `step ${id}`, SubType: "Step", ...(parent && { ParentId: parent }) };
  return [
    { type: "StepStarted", at: from, ...place },
    { type: "StepSucceeded", at: to, ...place, details: { RetryDetails: { CurrentAttempt: 1 } } },
  ];
}

export const STARTED: Given = { type: "ExecutionStarted", at: 0 };
