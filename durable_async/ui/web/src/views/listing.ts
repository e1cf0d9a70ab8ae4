// Reads the list page by page as it is scrolled, and its beginning again every few seconds.

import { useEffect, useMemo, useState } from "preact/hooks";
import { EVERY_FUNCTION, executions, functions, offeredLists, pause, type Summary } from "../api.ts";
import { lacking, refreshed, type Stream, streamsOf, take } from "../model/listing.ts";
import type { ListFilters } from "./filters.tsx";

const FIRST_PAGE = 100;
const PAGE = 1000;
const REFRESH_SECONDS = 3;

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
}

type State = Omit<Listing, "more" | "refresh">;

const NOTHING: State = { items: [], functions: undefined, canFilter: false, complete: false, loading: true, error: undefined };

export function useListing(filters: ListFilters): Listing {
  const [state, setState] = useState(NOTHING);
  const reader = useMemo(() => new Reader(filters, setState), [filters]);
  useEffect(() => {
    void reader.run();
    return () => reader.end();
  }, [reader]);
  return { ...state, more: () => void reader.more(), refresh: () => void reader.refresh() };
}

class Reader {
  private streams: Stream<Summary>[] | undefined;
  private reading = false;
  private state = NOTHING;
  private readonly ended = new AbortController();

  constructor(
    private readonly filters: ListFilters,
    private readonly show: (state: State) => void,
  ) {}

  async run(): Promise<void> {
    this.change({});
    try {
      const { all, filters } = await offeredLists();
      this.change({ canFilter: filters });
      if (all) await Promise.all([this.begin([this.filters.function || EVERY_FUNCTION]), this.name()]);
      else await this.name().then((names) => this.begin(this.filters.function ? [this.filters.function] : names));
    } catch (error) {
      this.failed(error);
    }
    while (!this.ended.signal.aborted) {
      await pause(REFRESH_SECONDS, this.ended.signal);
      if (!document.hidden) await this.refresh();
    }
  }

  private async begin(names: string[]): Promise<void> {
    this.streams = streamsOf(names);
    await this.more();
  }

  private async name(): Promise<string[]> {
    const names = await functions(this.ended.signal);
    this.change({ functions: names });
    return names;
  }

  end(): void {
    this.ended.abort();
  }

  /** Read the next page, unless one is being read. */
  async more(): Promise<void> {
    if (this.streams === undefined || this.reading || this.state.complete) return;
    this.reading = true;
    this.change({ loading: true });
    try {
      const size = this.state.items.length === 0 ? FIRST_PAGE : PAGE;
      await Promise.all(lacking(this.streams).map((stream) => this.fill(stream, size)));
      const items = [...this.state.items, ...take(this.streams, this.filters.oldestFirst)];
      const complete = this.streams.every((each) => each.marker === undefined && each.waiting.length === 0);
      this.change({ items, complete, error: undefined });
    } catch (error) {
      this.failed(error);
    } finally {
      this.reading = false;
      this.change({ loading: false });
    }
  }

  async refresh(): Promise<void> {
    if (this.streams === undefined || this.reading) return;
    try {
      const pages = await Promise.all(this.streams.map(({ name }) => this.page(name, undefined, FIRST_PAGE)));
      const fresh = pages.flatMap((page) => page.DurableExecutions);
      const sign = this.filters.oldestFirst ? 1 : -1;
      fresh.sort((a, b) => sign * (a.StartTimestamp - b.StartTimestamp));
      const items = refreshed(this.state.items, fresh, this.filters.oldestFirst);
      if (items !== this.state.items) this.change({ items });
    } catch (error) {
      this.failed(error);
    }
  }

  private async fill(stream: Stream<Summary>, size: number): Promise<void> {
    const page = await this.page(stream.name, stream.marker || undefined, size);
    stream.waiting.push(...page.DurableExecutions);
    stream.marker = page.NextMarker;
  }

  private page(name: string, marker: string | undefined, size: number) {
    const { filters } = this;
    const query = {
      MaxItems: size,
      Marker: marker,
      Statuses: filters.statuses,
      ...(this.state.canFilter ? { NamePrefix: filters.name, Tags: filters.tags } : { DurableExecutionName: filters.name }),
      StartedAfter: iso(filters.after),
      StartedBefore: iso(filters.before),
      ReverseOrder: filters.oldestFirst || undefined,
    };
    return executions(name, query, this.ended.signal);
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
