import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Operation } from "../model/history.ts";
import { timelineSvg } from "../model/svg.ts";
import { duration, localTime, utc } from "../model/text.ts";
import {
  activityOf,
  type Folding,
  matching,
  type Row,
  rowsOf,
  type Scale,
  scaleOf,
  segmentsOf,
} from "../model/timeline.ts";
import { type Execution, nameOf, waited, waitsOn } from "../model/waiting.ts";
import { isOpen } from "../model/history.ts";
import { focusSoon, Status, useKeys, words } from "./common.tsx";
import type { Live } from "./live.ts";
import { Rows, useVirtualRows } from "./virtual.tsx";

const ROW = 28; // pixels
const LABELS = 300;
const NARROW_LABELS = 150;

interface Props {
  live: Live;
  execution: Execution;
  now: number;
  chosen: string | undefined;
  onChoose: (id: string | undefined) => void;
}

export function Timeline({ live, execution, now, chosen, onChoose }: Props) {
  const { history } = live;
  const [folding, setFolding] = useState<Folding>(new Map());
  const [search, setSearch] = useState("");
  const [width, setWidth] = useState(800);
  const box = useRef<HTMLDivElement>(null);
  const end = history.closed ? (execution.EndTimestamp ?? history.last ?? now) : Math.max(now, history.last ?? now);
  const events = history.lastEvent;
  const all = useMemo(() => rowsOf(history, folding), [history, events, folding]);
  const rows = useMemo(() => matching(all, search), [all, search]);
  const activity = useMemo(() => activityOf(history, end), [history, events, end]);
  const labels = width < 560 ? NARROW_LABELS : LABELS;
  const scale = useMemo(() => scaleOf(activity, Math.max(80, width - labels - 16)), [activity, width, labels]);
  const virtual = useVirtualRows(rows.length, ROW);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(entry!.contentRect.width));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  useKeys((key) => {
    if (key === "/") return document.getElementById("search")?.focus(), true;
    if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
    const focused = focusedRow();
    if ((key === "o" || key === " ") && focused?.open !== undefined) return fold(focused), true;
    return false;
  });

  function focusedRow(): Row | undefined {
    const id = document.activeElement?.closest<HTMLElement>("[data-operation]")?.dataset["operation"];
    return rows.find((each) => each.operation.id === id);
  }

  function move(by: number): boolean {
    const focused = focusedRow();
    const before = focused ?? rows.find((each) => each.operation.id === chosen);
    const place = before === undefined ? (by > 0 ? 0 : rows.length - 1) : rows.indexOf(before) + by;
    const row = rows[Math.max(0, Math.min(rows.length - 1, place))];
    if (row === undefined) return false;
    virtual.reveal(rows.indexOf(row));
    focusSoon(`[data-operation="${CSS.escape(row.operation.id)}"] button.open`);
    if (chosen !== undefined) onChoose(row.operation.id);
    return true;
  }

  function fold({ operation, open }: Row) {
    setFolding(new Map(folding).set(operation.id, open === true));
  }

  function foldAll(folded: boolean) {
    const next = new Map<string, boolean>();
    for (const each of history.byId.values()) if (each.children.length > 0) next.set(each.id, folded);
    setFolding(next);
  }

  function save() {
    const svg = timelineSvg(execution, history, rows, end);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    link.download = `${execution.DurableExecutionName}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  return (
    <section class="timeline" aria-label="Timeline" ref={box}>
      <div class="tools">
        <h2>Timeline</h2>
        <input
          id="search"
          type="search"
          aria-label="Search operations"
          placeholder="search operations"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <button type="button" class="small" onClick={() => foldAll(false)}>
          Open all
        </button>
        <button type="button" class="small" onClick={() => foldAll(true)}>
          Fold all
        </button>
        <button type="button" class="small" onClick={save}>
          Save as SVG
        </button>
        <button type="button" class="small" onClick={() => print()}>
          Print
        </button>
        <span class="muted" role="status">
          {search !== "" && `${rows.length} of ${all.length} rows`}
          {!live.complete && " reading the history …"}
        </span>
      </div>
      <div class="table" role="treegrid" aria-label="Operations" aria-rowcount={rows.length}>
        <div role="rowgroup">
          <div role="row" class="axis-row">
            <span role="columnheader" class="label" style={{ width: `${labels}px` }}>
              Operation
            </span>
            <span role="columnheader" class="axis" aria-label="Time">
              <Axis scale={scale} now={end} />
            </span>
          </div>
        </div>
        <div role="rowgroup" class="scroller" ref={virtual.scroller} tabIndex={0} aria-label="Rows of operations">
          <div class="background" aria-hidden="true" style={{ height: `${virtual.height}px`, left: `${labels}px` }}>
            <Bands live={live} scale={scale} now={end} />
          </div>
          <Rows of={virtual} draw={(index) => draw(rows[index], index)} />
        </div>
      </div>
      {history.roots.length === 0 && live.complete && <p class="muted">There is no operation yet.</p>}
    </section>
  );

  function draw(row: Row | undefined, index: number) {
    if (row === undefined) return null;
    const { operation } = row;
    return (
      <TimelineRow
        row={row}
        index={index}
        labels={labels}
        scale={scale}
        now={end}
        chosen={operation.id === chosen}
        onOpen={() => onChoose(operation.id)}
        onFold={() => fold(row)}
      />
    );
  }
}

interface RowProps {
  row: Row;
  index: number;
  labels: number;
  scale: Scale;
  now: number;
  chosen: boolean;
  onOpen: () => void;
  onFold: () => void;
}

function TimelineRow({ row, index, labels, scale, now, chosen, onOpen, onFold }: RowProps) {
  const { operation, depth, open, counts } = row;
  const expanded = open === undefined ? {} : { "aria-expanded": open };
  return (
    <div
      role="row"
      class={`operation ${chosen ? "at" : ""}`}
      data-operation={operation.id}
      aria-level={depth + 1}
      aria-rowindex={index + 1}
      aria-selected={chosen}
      {...expanded}
    >
      <span role="gridcell" class="label" style={{ width: `${labels}px`, paddingLeft: `${4 + Math.min(depth, 8) * 14}px` }}>
        {open === undefined ? (
          <span class="fold" />
        ) : (
          <button type="button" class="fold" aria-label={`${open ? "Fold" : "Open"} ${operation.name}`} onClick={onFold}>
            {open ? "▾" : "▸"}
          </button>
        )}
        <button type="button" class="open" title={title(operation, now)} onClick={onOpen}>
          <Status of={operation.status} short /> {operation.name}
        </button>
        {counts && <span class="counts">{[...counts].map(([status, count]) => `${count} ${words(status)}`).join(", ")}</span>}
      </span>
      <span role="gridcell" class="bars" onClick={onOpen}>
        {segmentsOf(operation, now).map(({ kind, label, from, to }, place) => {
          const { x, width } = scale.place({ from, to });
          return (
            <span
              key={place}
              aria-hidden="true"
              class={`segment ${kind}`}
              style={{ left: `${x}px`, width: `${width}px` }}
              title={`${operation.name}: ${label}, ${duration(to - from)}, from ${utc(from)}`}
            />
          );
        })}
      </span>
    </div>
  );
}

function title(operation: Operation, now: number): string {
  const took = duration((operation.ended ?? now) - operation.started);
  const state = isOpen(operation) && operation.kind !== "Context" ? `waits on ${waitsOn(waited(operation), now)}` : words(operation.status);
  return `${nameOf(operation)} (${operation.subType}): ${state}, ${took}`;
}

/** One band for each invocation, so that a replay can be seen; one for each compressed gap; and a line for now. */
function Bands({ live, scale, now }: { live: Live; scale: Scale; now: number }) {
  return (
    <>
      {live.history.invocations.slice(-500).map((each, place) => {
        const { x, width } = scale.place({ from: each.started, to: each.ended });
        return <span key={place} class={`band ${each.failed ? "failed" : ""}`} style={{ left: `${x}px`, width: `${width}px` }} />;
      })}
      {scale.pieces
        .filter((each) => each.gap && each.width >= 2)
        .map((each) => (
          <span key={each.from} class="break" style={{ left: `${each.x}px`, width: `${each.width}px` }} />
        ))}
      {!live.history.closed && <span class="now" style={{ left: `${scale.x(now)}px` }} />}
    </>
  );
}

const LABEL_SPACE = 90; // pixels

function Axis({ scale, now }: { scale: Scale; now: number }) {
  let free = 0;
  return (
    <>
      {scale.pieces.map((piece) => {
        const text = piece.gap ? duration(piece.to - piece.from) : localTime(piece.from, now);
        const space = piece.gap ? 40 : LABEL_SPACE;
        if (piece.x < free || piece.x + space > scale.width + 40) return null;
        free = piece.x + space;
        return (
          <span
            key={`${piece.from} ${piece.gap}`}
            class={piece.gap ? "gap" : "tick"}
            style={{ left: `${piece.x}px` }}
            title={piece.gap ? `${text} without activity` : utc(piece.from)}
          >
            {text}
          </span>
        );
      })}
    </>
  );
}
