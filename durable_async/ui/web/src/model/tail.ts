// The end of a history, read backwards until it is certain which operations are open. Pure: the pages are given.

import { detailsOf, History, type HistoryEvent } from "./history.ts";
import { blocking, waitingOn } from "./waiting.ts";

/** How many pages are read of a history that is looked at for the first time. */
export const MOST_PAGES = 5;

export interface EventPage {
  Events: HistoryEvent[];
  NextMarker?: string;
}

export class Tail {
  readonly history = new History();
  private pause: string | undefined;
  /** All earlier events are known. */
  private complete = false;

  /**
   * Read what is new.
   * @param page returns a page of the history, the newest event first
   * @returns the tail that has it, which is another one if too much is new
   */
  async read(page: (marker: string | undefined, number: number) => Promise<EventPage>): Promise<Tail> {
    const news: HistoryEvent[] = [];
    let marker: string | undefined;
    for (let number = 0; number < MOST_PAGES; number++) {
      const { Events, NextMarker } = await page(marker, number);
      const fresh = Events.filter((event) => event.EventId > this.history.lastEvent);
      news.push(...fresh);
      if (fresh.length < Events.length) return this.grow(news);
      if (NextMarker === undefined) return new Tail().grow(news, true);
      marker = NextMarker;
    }
    return new Tail().grow(news);
  }

  private grow(newestFirst: HistoryEvent[], complete = this.complete): this {
    this.complete = complete;
    for (const event of newestFirst.reverse()) {
      this.history.take(event);
      if (event.EventType === "ExecutionResumed") this.pause = undefined;
      if (event.EventType === "ExecutionPaused") this.pause = toBeResumed(reasonOf(event));
    }
    return this;
  }

  waitingOn(now: number): string {
    if (this.history.closed) return "";
    if (this.pause !== undefined) return this.pause;
    const known = waitingOn(blocking(this.history.operations()), now);
    const cancelled = this.history.cancelRequested === undefined ? "" : "cancelled; ";
    if (this.complete) return `${cancelled}${known}`;
    const read = `older than the last ${this.history.byId.size.toLocaleString("en")} operations`;
    return known === "" ? `${cancelled}unknown: ${read}` : `${cancelled}${known}, perhaps more`;
  }
}

/** Such as `to be resumed: stocktaking`. */
export function toBeResumed(reason: string | undefined): string {
  return reason === undefined ? "to be resumed" : `to be resumed: ${reason}`;
}

function reasonOf(event: HistoryEvent): string | undefined {
  return (detailsOf(event)["Reason"] as { Payload?: string } | undefined)?.Payload;
}
