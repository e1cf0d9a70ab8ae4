// The filters of the list. They are in the address, so that a view can be kept and sent to others.

import { words } from "./common.tsx";

export const STATUSES = ["RUNNING", "PAUSING", "PAUSED", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"];

export interface ListFilters {
  function: string;
  statuses: string[];
  name: string;
  after: string;
  before: string;
  oldestFirst: boolean;
}

export function filtersOf(query: URLSearchParams): ListFilters {
  return {
    function: query.get("function") ?? "",
    statuses: query.getAll("status"),
    name: query.get("name") ?? "",
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
  if (filters.after) query.set("after", filters.after);
  if (filters.before) query.set("before", filters.before);
  if (filters.oldestFirst) query.set("order", "oldest");
  return query;
}

interface Props {
  filters: ListFilters;
  functions: string[] | undefined;
  onChange: (query: URLSearchParams) => void;
}

export function Filters({ filters, functions, onChange }: Props) {
  const change = (part: Partial<ListFilters>) => onChange(queryOf({ ...filters, ...part }));
  const toggled = (status: string) =>
    filters.statuses.includes(status)
      ? filters.statuses.filter((each) => each !== status)
      : [...filters.statuses, status];
  return (
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
        <input
          id="name"
          type="search"
          placeholder="exact name"
          value={filters.name}
          onChange={(event) => change({ name: event.currentTarget.value.trim() })}
        />
      </label>
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
        <input
          type="datetime-local"
          value={filters.after}
          onChange={(event) => change({ after: event.currentTarget.value })}
        />
      </label>
      <label>
        before{" "}
        <input
          type="datetime-local"
          value={filters.before}
          onChange={(event) => change({ before: event.currentTarget.value })}
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
  );
}
