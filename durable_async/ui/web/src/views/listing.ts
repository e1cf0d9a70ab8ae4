// Reads the list page by page as it is scrolled, and what is visible of it again: when the service says that it has
// changed, or else every few seconds.

import { useEffect, useMemo, useState } from "preact/hooks";
import { EVERY_FUNCTION, executions, functions, home, offeredLists, pause, type Summary } from "../api.ts";
import { isAtEnd, lacking, refreshed, type Stream, streamsOf, take } from "../model/listing.ts";
import type { ListFilters } from "./filters.tsx";

const PAGE = 100; // what is read at first, and each page of a service that says what executions wait for
const LARGE_PAGE = 1000;
const REFRESH_SECONDS = 3;
const WAIT_SECONDS = 8; // below the ten after which the client of `durable-async ui` gives up

export interface Listing {
  items: Summary[];
  functions: string[] | undefined;
  /** The service can filter by tags and by the beginning of a name. */
  canFilter: boolean;
  complete: boolean;
  loading: boolean;
  error: unknown;
  more: () => void;
  refresh: () => void;
  /** Tells which item is the first that is visible. */
  look: (index: number) => void;
}

type State = Omit<Listing, "more" | "refresh" | "look">;

const NOTHING: State = { items: [], functions: undefined, canFilter: false, complete: false, loading: true, error: undefined };

export function useListing(filters: ListFilters): Listing {
  const [state, setState] = useState(NOTHING);
  const reader = useMemo(() => new Reader(filters, setState), [filters]);
  useEffect(() => {
    void reader.run();
    return () => reader.end();
  }, [reader]);
  return { ...state, more: () => void reader.more(), refresh: () => reader.refresh(), look: (index) => reader.look(index) };
}

class Reader {
  private streams: Stream<Summary>[] | undefined;
  private reading = false;
  private state = NOTHING;
  private first = 0;
  /** Where the pages of a single stream begin, by their first execution. */
  private readonly markers = new Map<string, string>();
  private digest: string | undefined;
  private watched = "";
  private watch = new AbortController();
  private readonly ended = new AbortController();

  constructor(
    private readonly filters: ListFilters,
    private readonly show: (state: State) => void,
  ) {}

  async run(): Promise<void> {
    this.change({});
    document.addEventListener("visibilitychange", () => this.refresh(), { signal: this.ended.signal });
    try {
      const { all, filters } = await offeredLists();
      this.change({ canFilter: filters });
      if (all) await Promise.all([this.begin([this.filters.function || EVERY_FUNCTION]), this.name()]);
      else await this.name().then((names) => this.begin(this.filters.function ? [this.filters.function] : names));
    } catch (error) {
      this.failed(error);
    }
    while (!this.ended.signal.aborted) {
      this.watch = new AbortController();
      if (!document.hidden && (await this.lookAgain(this.watch.signal))) continue;
      await pause(REFRESH_SECONDS, this.watch.signal);
    }
  }

  private async begin(names: string[]): Promise<void> {
    this.streams = streamsOf(names);
    if (!this.isHeld()) await this.more(); // else the first look reads the first page
  }

  /** The service holds an answer back until it changes. */
  private isHeld(): boolean {
    return this.state.canFilter && home.get()?.live === true;
  }

  private async name(): Promise<string[]> {
    const names = await functions(this.ended.signal);
    this.change({ functions: names });
    return names;
  }

  end(): void {
    this.ended.abort();
    this.watch.abort();
  }

  /** Look again at once. */
  refresh(): void {
    this.digest = undefined;
    this.watch.abort();
  }

  look(index: number): void {
    this.first = index;
    if (this.place() !== this.watched) this.refresh();
  }

  /** Where the page begins that has the first visible execution; empty: it is the first page. */
  private place(): string {
    if (!this.state.canFilter) return "";
    const { items } = this.state;
    for (let index = Math.min(this.first, items.length - 1); index >= 0; index--) {
      const marker = this.markers.get(items[index]!.DurableExecutionArn);
      if (marker !== undefined) return marker;
    }
    return "";
  }

  /** Read the next page, unless one is being read. */
  async more(): Promise<void> {
    if (this.streams === undefined || this.reading || this.state.complete) return;
    if (this.isHeld() && this.state.items.length === 0) return;
    this.reading = true;
    this.change({ loading: true });
    try {
      const { streams } = this;
      const size = this.state.items.length === 0 || this.state.canFilter ? PAGE : LARGE_PAGE;
      await Promise.all(lacking(streams).map((stream) => this.fill(stream, size, this.ended.signal)));
      if (streams !== this.streams) return; // the list was begun again meanwhile
      const items = [...this.state.items, ...take(streams, this.filters.oldestFirst)];
      this.change({ items, complete: isAtEnd(streams), error: undefined });
    } catch (error) {
      this.failed(error);
    } finally {
      this.reading = false;
      this.change({ loading: false });
    }
  }

  /** Read again what is visible. True: the service held the answer back until there was news. */
  private async lookAgain(signal: AbortSignal): Promise<boolean> {
    if (this.streams === undefined) return false;
    try {
      const place = (this.watched = this.place());
      const streams = streamsOf<Summary>(this.streams.map(({ name }) => name), place);
      // Two pages, since the visible rows may begin at the end of one.
      const size = this.state.canFilter ? 2 * PAGE : PAGE;
      const held = this.isHeld();
      const wait = held ? { WaitSeconds: WAIT_SECONDS, KnownDigest: this.digest } : {};
      await Promise.all(streams.map((stream) => this.fill(stream, size, signal, wait)));
      const part = take(streams, this.filters.oldestFirst);
      const last = isAtEnd(streams);
      const after = refreshed(this.state.items, part, { first: place === "", last });
      if (after === undefined) {
        this.change({ items: [], complete: false });
        await this.begin(streams.map(({ name }) => name));
        return true;
      }
      if (after.goesOn) this.streams = streams;
      const complete = after.goesOn ? last : this.state.complete;
      this.change({ items: after.items, error: undefined, complete, loading: this.reading });
      return held && this.digest !== undefined;
    } catch (error) {
      if (!signal.aborted) this.failed(error);
      return signal.aborted;
    }
  }

  private async fill(stream: Stream<Summary>, size: number, signal: AbortSignal, wait: object = {}): Promise<void> {
    const page = await this.page(stream.name, stream.marker || undefined, size, signal, wait);
    const [first] = page.DurableExecutions;
    if (stream.marker && first !== undefined) this.markers.set(first.DurableExecutionArn, stream.marker);
    if ("WaitSeconds" in wait) this.digest = page.PageDigest;
    stream.waiting.push(...page.DurableExecutions);
    stream.marker = page.NextMarker;
  }

  private page(name: string, marker: string | undefined, size: number, signal: AbortSignal, wait: object) {
    const { filters } = this;
    const named = this.state.canFilter
      ? { NamePrefix: filters.name, Tags: filters.tags, IncludeWaitingFor: true }
      : { DurableExecutionName: filters.name };
    const query = {
      MaxItems: size,
      Marker: marker,
      Statuses: filters.statuses,
      ...named,
      ...wait,
      StartedAfter: iso(filters.after),
      StartedBefore: iso(filters.before),
      ReverseOrder: filters.oldestFirst || undefined,
    };
    return executions(name, query, signal);
  }

  private failed(error: unknown): void {
    if (!this.ended.signal.aborted) this.change({ error });
  }

  private change(part: Partial<State>): void {
    this.state = { ...this.state, ...part };
    if (!this.ended.signal.aborted) this.show(this.state);
  }
}

/** The value of a field for a local time, in UTC. */
function iso(local: string): string | undefined {
  const time = new Date(local);
  return local === "" || Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}
