// The filters of the list. They are in the address, so that a view can be kept and sent to others.

import { useEffect, useState } from "preact/hooks";
import { NARROW, useMedia, words } from "./common.tsx";

export const STATUSES = ["RUNNING", "PAUSING", "PAUSED", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"];

export interface ListFilters {
  function: string;
  statuses: string[];
  name: string;
  /** Each is `key=value`. */
  tags: string[];
  after: string;
  before: string;
  oldestFirst: boolean;
}

export function filtersOf(query: URLSearchParams): ListFilters {
  return {
    function: query.get("function") ?? "",
    statuses: query.getAll("status"),
    name: query.get("name") ?? "",
    tags: query.getAll("tag"),
    after: query.get("after") ?? "",
    before: query.get("before") ?? "",
    oldestFirst: query.get("order") === "oldest",
  };
}

function queryOf(filters: ListFilters): URLSearchParams {
  const query = new URLSearchParams();
  if (filters.function) query.set("function", filters.function);
  for (const status of filters.statuses) query.append("status", status);
  if (filters.name) query.set("name", filters.name);
  for (const tag of filters.tags) query.append("tag", tag);
  if (filters.after) query.set("after", filters.after);
  if (filters.before) query.set("before", filters.before);
  if (filters.oldestFirst) query.set("order", "oldest");
  return query;
}

function tagsIn(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each.includes("="));
}

interface DraftProps {
  id?: string;
  type: "search" | "datetime-local";
  placeholder?: string;
  value: string;
  onDone: (text: string) => void;
}

/** A field whose text counts when it is left or Enter is pressed, and stays until then. */
function Draft({ type, value, onDone, ...rest }: DraftProps) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const events = {
    onInput: (event: { currentTarget: HTMLInputElement }) => setText(event.currentTarget.value),
    onChange: (event: { currentTarget: HTMLInputElement }) => onDone(event.currentTarget.value),
  };
  if (type === "search") return <input type="search" value={text} {...rest} {...events} />;
  return <input type="datetime-local" value={text} {...events} />;
}

interface Props {
  filters: ListFilters;
  functions: string[] | undefined;
  /** The service can filter by tags and by the beginning of a name. */
  canFilter: boolean;
  onChange: (query: URLSearchParams) => void;
}

export function Filters({ filters, functions, canFilter, onChange }: Props) {
  const change = (part: Partial<ListFilters>) => onChange(queryOf({ ...filters, ...part }));
  const toggled = (status: string) =>
    filters.statuses.includes(status)
      ? filters.statuses.filter((each) => each !== status)
      : [...filters.statuses, status];
  const wide = !useMedia(NARROW);
  return (
    <details class="filter-box" open={wide}>
      <summary hidden={wide}>Filters</summary>
    <form class="filters" role="search" aria-label="Filter executions" onSubmit={(event) => event.preventDefault()}>
      <label>
        Function{" "}
        <select value={filters.function} onChange={(event) => change({ function: event.currentTarget.value })}>
          <option value="">all</option>
          {[...new Set([...(functions ?? []), filters.function])].filter(Boolean).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Name{" "}
        <Draft
          id="name"
          type="search"
          placeholder={canFilter ? "begins with" : "exact name"}
          value={filters.name}
          onDone={(text) => change({ name: text.trim() })}
        />
      </label>
      {canFilter && (
        <label>
          Tags{" "}
          <Draft
            type="search"
            placeholder="key=value, key=value"
            value={filters.tags.join(", ")}
            onDone={(text) => change({ tags: tagsIn(text) })}
          />
        </label>
      )}
      <fieldset>
        <legend>Status</legend>
        {STATUSES.map((status) => (
          <label key={status} class="chip">
            <input
              type="checkbox"
              checked={filters.statuses.includes(status)}
              onChange={() => change({ statuses: toggled(status) })}
            />
            {words(status)}
          </label>
        ))}
      </fieldset>
      <label>
        Started after{" "}
        <Draft
          type="datetime-local"
          value={filters.after}
          onDone={(text) => change({ after: text })}
        />
      </label>
      <label>
        before{" "}
        <Draft
          type="datetime-local"
          value={filters.before}
          onDone={(text) => change({ before: text })}
        />
      </label>
      <label class="chip">
        <input
          type="checkbox"
          checked={filters.oldestFirst}
          onChange={(event) => change({ oldestFirst: event.currentTarget.checked })}
        />
        oldest first
      </label>
      <button type="button" class="small" onClick={() => onChange(new URLSearchParams())}>
        Clear
      </button>
    </form>
    </details>
  );
}
