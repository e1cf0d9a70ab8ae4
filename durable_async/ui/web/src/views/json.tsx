import { useMemo, useState } from "preact/hooks";
import { found, isTree, type Json, leaf, parse, type Part, partsOf } from "../model/json.ts";
import { size, utf8Length } from "../model/text.ts";
import { Copy } from "./common.tsx";

const OPEN_BELOW = 2; // levels that are open at first
const PARTS = 100; // of one value, until more are asked for
const TEXT = 400; // characters of a text, likewise
const LARGEST_TREE = 2 * 1024 * 1024; // characters; beyond that it is shown as text, cut

/** A payload: folded, as a tree if it is JSON. Everything in it is text, whatever it looks like. */
export function Payload({ title, text, open = false }: { title: string; text: string | undefined; open?: boolean }) {
  const [shown, setShown] = useState(open);
  const [search, setSearch] = useState("");
  if (text === undefined) return null;
  return (
    <details class="payload" open={shown} onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary>
        {title} <small>{size(utf8Length(text))}</small> {!shown && <code class="peek">{cut(text, 80)}</code>}
      </summary>
      {shown && (
        <>
          <div class="tools">
            <input
              type="search"
              aria-label={`Search in ${title}`}
              placeholder="search"
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
            <Copy text={text} what={title} />
          </div>
          <Tree text={text} search={search} />
        </>
      )}
    </details>
  );
}

function Tree({ text, search }: { text: string; search: string }) {
  const value = useMemo(() => (text.length > LARGEST_TREE ? undefined : parse(text)), [text]);
  const hits = useMemo(() => (value === undefined ? new Set<string>() : found(value, search)), [value, search]);
  if (value === undefined) return <LongText text={text} />;
  if (search !== "" && hits.size === 0) return <p class="muted">Nothing is found.</p>;
  return (
    <div class="tree" tabIndex={0} role="group" aria-label="JSON">
      <Node part={{ name: "", value, path: "$" }} depth={0} hits={hits} />
    </div>
  );
}

function Node({ part, depth, hits }: { part: Part; depth: number; hits: Set<string> }) {
  const [open, setOpen] = useState(depth < OPEN_BELOW);
  const [parts, setParts] = useState(PARTS);
  const { name, value, path } = part;
  const label = name === "" ? null : <span class="key">{name}: </span>;
  const hit = hits.has(path) ? "hit" : "";
  if (!isTree(value)) {
    return (
      <div class={hit}>
        {label}
        <Leaf value={value} />
      </div>
    );
  }
  const all = partsOf(value, path);
  const brackets = Array.isArray(value) ? "[]" : "{}";
  if (all.length === 0) {
    return (
      <div class={hit}>
        {label}
        {brackets}
      </div>
    );
  }
  const shown = hits.size === 0 ? all.slice(0, parts) : all.filter((each) => hits.has(each.path)).slice(0, parts);
  return (
    <details open={open || hit !== ""} onToggle={(event) => (event.stopPropagation(), setOpen(event.currentTarget.open))}>
      <summary>
        {label}
        <span class="muted">
          {brackets[0]} {all.length} {brackets[1]}
        </span>
      </summary>
      {(open || hit !== "") && (
        <div class="parts">
          {shown.map((each) => (
            <Node key={each.path} part={each} depth={depth + 1} hits={hits} />
          ))}
          {shown.length < all.length && hits.size === 0 && (
            <button type="button" class="small" onClick={() => setParts(parts + 10 * PARTS)}>
              Show more of {all.length}
            </button>
          )}
        </div>
      )}
    </details>
  );
}

function Leaf({ value }: { value: Json }) {
  if (typeof value === "string") return <LongText text={value} quoted />;
  return <span class="leaf">{leaf(value)}</span>;
}

function LongText({ text, quoted = false }: { text: string; quoted?: boolean }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? text : cut(text, TEXT);
  return (
    <>
      <span class="leaf text">{quoted ? JSON.stringify(shown) : shown}</span>{" "}
      {shown !== text && (
        <button type="button" class="small" onClick={() => setWhole(true)}>
          Show all, {size(utf8Length(text))}
        </button>
      )}
    </>
  );
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
