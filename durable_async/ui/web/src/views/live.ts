// One execution as it is now: its description, and its history as it grows.

import { useEffect, useState } from "preact/hooks";
import { changes, describe, history as readHistory, type HistoryPage, home, pause } from "../api.ts";
import { History, type HistoryEvent } from "../model/history.ts";
import type { Execution } from "../model/waiting.ts";

const PAGE = 1000;
const WAIT_SECONDS = 8; // below the ten after which the client of `durable-async ui` gives up
const POLL_SECONDS = 2;
const CLOSED_POLL_SECONDS = 5; // a closed execution may be redriven, by others too

export interface Live {
  execution: Execution | undefined;
  history: History;
  /** Where each page of the history begins, to read an event's payloads later. */
  pages: HistoryPlace[];
  /** All events until now are there. */
  complete: boolean;
  error: unknown;
}

export interface HistoryPlace {
  marker: string | undefined;
  from: number;
  to: number;
}

/** Changes whenever there is something new, though its history is the same object. */
export function useLive(arn: string): Live {
  const [live, setLive] = useState<Live>(() => nothing());
  useEffect(() => {
    const ended = new AbortController();
    void follow(arn, ended.signal, setLive);
    return () => ended.abort();
  }, [arn]);
  return live;
}

function nothing(): Live {
  return { execution: undefined, history: new History(), pages: [], complete: false, error: undefined };
}

async function follow(arn: string, signal: AbortSignal, show: (live: Live) => void): Promise<void> {
  let live = nothing();
  const change = (part: Partial<Live>) => {
    live = { ...live, ...part };
    if (!signal.aborted) show(live);
  };
  let marker: string | undefined;
  let ahead: Promise<HistoryPage> | undefined;
  while (!signal.aborted) {
    try {
      const begun = live.execution === undefined ? describe(arn, signal) : undefined;
      begun?.catch(() => undefined); // it is awaited below
      const page = await (ahead ?? read(arn, marker, live, signal));
      const more = page.NextMarker !== undefined && page.Events.length > 0 && !atEnd(page.Events, page.NextMarker);
      ahead = more ? read(arn, page.NextMarker, live, signal) : undefined; // while this page is worked on
      ahead?.catch(() => undefined);
      const news = page.Events.filter((event) => event.EventId > live.history.lastEvent);
      for (const event of news) live.history.take(event);
      const pages = placed(live.pages, marker, page.Events);
      marker = page.NextMarker ?? marker;
      if (begun !== undefined) change({ execution: await begun, pages });
      if (news.length > 0 || !live.complete) {
        const settled = more || (live.history.closed && begun !== undefined && live.execution?.EndTimestamp !== undefined);
        change({ execution: settled ? live.execution : await describe(arn, signal), pages, complete: !more, error: undefined });
      } else if (live.history.closed || !home.get()?.live) {
        change({ execution: await describe(arn, signal) });
      }
      if (!more) await rest(page.NextMarker !== undefined, live, signal);
    } catch (error) {
      if (signal.aborted) return;
      ahead = undefined;
      change({ error });
      await pause(POLL_SECONDS, signal);
    }
  }
}

/** A page of the history. Once all of it is there, a service that can holds the answer back until there is news. */
function read(arn: string, marker: string | undefined, live: Live, signal: AbortSignal): Promise<HistoryPage> {
  const waits = live.complete && !document.hidden ? WAIT_SECONDS : 1;
  const WaitSeconds = home.get()?.live ? waits : undefined;
  return readHistory(arn, { IncludeExecutionData: false, MaxItems: PAGE, Marker: marker, WaitSeconds }, signal);
}

/** A service that waits gives the last page a marker too: of the event that will come next. */
function atEnd(events: HistoryEvent[], marker: string): boolean {
  return events.length < PAGE && Number(marker) === events.at(-1)!.EventId + 1;
}

async function rest(waitsNext: boolean, live: Live, signal: AbortSignal): Promise<void> {
  if (waitsNext && !live.history.closed && !document.hidden) return;
  const changed = new AbortController();
  const wake = () => changed.abort();
  changes.addEventListener("change", wake, { signal: changed.signal });
  document.addEventListener("visibilitychange", wake, { signal: changed.signal });
  const longest = live.history.closed ? CLOSED_POLL_SECONDS : POLL_SECONDS;
  await pause(longest, AbortSignal.any([signal, changed.signal]));
  wake();
}

function placed(pages: HistoryPlace[], marker: string | undefined, events: HistoryEvent[]): HistoryPlace[] {
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) return pages;
  const place = { marker, from: first.EventId, to: last.EventId };
  return [...pages.filter((each) => each.marker !== marker), place];
}

/** The events of an operation with their payloads. */
export async function eventsOf(arn: string, pages: HistoryPlace[], ids: number[]): Promise<HistoryEvent[]> {
  const found = new Map<number, HistoryEvent>();
  const wanted = new Set(ids);
  for (const page of pages.filter(({ from, to }) => ids.some((id) => id >= from && id <= to))) {
    let marker = page.marker;
    for (let last = 0; last < page.to; ) {
      // Payloads make pages shorter, so that a page may take several calls.
      const part = await readHistory(arn, { IncludeExecutionData: true, MaxItems: PAGE, Marker: marker });
      for (const event of part.Events) if (wanted.has(event.EventId)) found.set(event.EventId, event);
      const end = part.Events.at(-1)?.EventId;
      if (part.NextMarker === undefined || end === undefined || found.size === wanted.size) break;
      last = end;
      marker = part.NextMarker;
    }
  }
  return [...found.values()].sort((a, b) => a.EventId - b.EventId);
}
