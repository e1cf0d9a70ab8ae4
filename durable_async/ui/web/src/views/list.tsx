import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { home, type Summary } from "../api.ts";
import { type Tail, toBeResumed } from "../model/tail.ts";
import { duration, functionName, version } from "../model/text.ts";
import { listedWaiting } from "../model/waiting.ts";
import { executionLink, go, href, replace, route } from "../route.ts";
import { useNow, useWatched } from "../watched.ts";
import { BulkBar } from "./bulk.tsx";
import { Failure, focusSoon, NARROW, Status, Time, useKeys, useMedia } from "./common.tsx";
import { Filters, filtersOf } from "./filters.tsx";
import { useListing } from "./listing.ts";
import { Rows, useVirtualRows } from "./virtual.tsx";
import { useWaiting } from "./waiting.ts";

const ROW = 40; // pixels
const NARROW_ROW = 64;
const AHEAD = 60; // rows before the end at which the next page is read

export function ListView() {
  const { query } = useWatched(route);
  const filters = useMemo(() => filtersOf(query), [query.toString()]);
  const listing = useListing(filters);
  const rowHeight = useMedia(NARROW) ? NARROW_ROW : ROW;
  const virtual = useVirtualRows(listing.items.length, rowHeight);
  const [at, drawAt] = useState(-1);
  const place = useRef(-1); // keys may come faster than the page is drawn
  const setAt = (index: number) => drawAt((place.current = index));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set()); // ARNs
  const now = useNow(true);
  const visible = virtual.rows.map(({ index }) => listing.items[index]).filter((each) => each !== undefined);
  const tails = useWaiting(visible);

  useEffect(() => {
    const last = virtual.rows.at(-1)?.index ?? 0;
    if (last >= listing.items.length - AHEAD) listing.more();
    listing.look(virtual.rows[0]?.index ?? 0);
  });
  useEffect(() => setChosen(new Set()), [filters]);

  useKeys((key) => {
    if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
    const item = listing.items[place.current];
    if (key === "x" && item) return choose(item), true;
    if (key === "/") return document.getElementById("name")?.focus(), true;
    if (key === "Escape") return escape();
    return false;
  });

  function move(by: number): boolean {
    const next = Math.max(0, Math.min(listing.items.length - 1, place.current + by));
    if (listing.items.length === 0) return false;
    setAt(next);
    virtual.reveal(next);
    focusSoon(`[data-row="${next}"] a`);
    return true;
  }

  function escape(): boolean {
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    setChosen(new Set());
    return true;
  }

  function choose(item: Summary) {
    const next = new Set(chosen);
    if (!next.delete(item.DurableExecutionArn)) next.add(item.DurableExecutionArn);
    setChosen(next);
  }

  function chooseAll(all: boolean) {
    setChosen(new Set(all ? listing.items.map((each) => each.DurableExecutionArn) : []));
  }

  return (
    <div class="list-view">
      <h1 class="hidden">Executions</h1>
      <Filters filters={filters} functions={listing.functions} canFilter={listing.canFilter} onChange={(next) => replace(href("executions", next))} />
      <BulkBar
        chosen={chosen.size === 0 ? [] : listing.items.filter((each) => chosen.has(each.DurableExecutionArn))}
        writes={home.get()?.writes ?? false}
        onClear={() => setChosen(new Set())}
        onDone={listing.refresh}
        onCompare={(left, right) => go(href("compare", { left, right }))}
      />
      <Failure error={listing.error} />
      <div class="table" role="table" aria-label="Executions" aria-rowcount={listing.complete ? listing.items.length + 1 : -1}>
        <div role="rowgroup" class="head">
          <div role="row" class="row" aria-rowindex={1}>
            <span role="columnheader" class="check">
              <input
                type="checkbox"
                aria-label="Select all executions that are loaded"
                checked={chosen.size > 0 && chosen.size === listing.items.length}
                onChange={(event) => chooseAll(event.currentTarget.checked)}
              />
            </span>
            {["Name", "Function", "Status", "Started", "Took", "Waiting on"].map((each) => (
              <span key={each} role="columnheader" class={each.toLowerCase().replace(" ", "-")}>
                {each}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" class="scroller" ref={virtual.scroller} tabIndex={0} aria-label="Rows">
          <Rows of={virtual} draw={(index) => row(index)} />
        </div>
      </div>
      <p class="count" role="status">
        {listing.complete ? "" : filters.oldestFirst ? "The oldest " : "The newest "}
        {listing.items.length.toLocaleString("en")} execution{listing.items.length === 1 ? "" : "s"}
        {listing.loading ? ", reading more …" : ""}
      </p>
    </div>
  );

  function row(index: number) {
    const item = listing.items[index];
    if (item === undefined) return null;
    const arn = item.DurableExecutionArn;
    const { end } = tails.get(arn)?.history ?? {};
    const ended = item.EndTimestamp ?? end?.at;
    const status = item.EndTimestamp === undefined ? (end?.status ?? item.Status) : item.Status;
    return (
      <div role="row" class={`row ${index === at ? "at" : ""}`} aria-rowindex={index + 2} data-row={index}>
        <span role="cell" class="check">
          <input
            type="checkbox"
            aria-label={`Select ${item.DurableExecutionName}`}
            checked={chosen.has(arn)}
            onChange={() => choose(item)}
          />
        </span>
        <span role="cell" class="name">
          <a href={executionLink(arn)} onFocus={() => setAt(index)}>
            {item.DurableExecutionName}
          </a>{" "}
          <small>{Object.entries(item.Tags ?? {}).map(([key, value]) => `${key}=${value}`).join(" ")}</small>
        </span>
        <span role="cell" class="function">
          {functionName(item.FunctionArn)} <small>{version(item.FunctionArn)}</small>
        </span>
        <span role="cell" class="status-cell">
          <Status of={status} />
        </span>
        <span role="cell" class="started">
          <Time at={item.StartTimestamp} now={now} />
        </span>
        <span role="cell" class="took">
          {duration((ended ?? now) - item.StartTimestamp)}
        </span>
        <span role="cell" class="waiting-on">
          {ended === undefined && waitingOn(item, tails.get(arn), now)}
        </span>
      </div>
    );
  }
}

function waitingOn(item: Summary, tail: Tail | undefined, now: number): string {
  const { WaitingFor, PauseDetails, CancellationRequested } = item;
  if (WaitingFor === undefined) return tail?.waitingOn(now) ?? "";
  if (PauseDetails !== undefined) return toBeResumed(PauseDetails.Reason);
  return `${CancellationRequested ? "cancelled; " : ""}${listedWaiting(WaitingFor, now)}`;
}
