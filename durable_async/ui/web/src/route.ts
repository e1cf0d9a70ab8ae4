// What the page shows is in the part of the address after `#`, which browsers do not send: executions stay out of logs.

import { Watched } from "./watched.ts";

export interface Route {
  page: string;
  query: URLSearchParams;
}

export const route = new Watched<Route>(parse(location.hash));

addEventListener("hashchange", () => route.set(parse(location.hash)));

function parse(hash: string): Route {
  const [page = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { page, query: new URLSearchParams(query) };
}

export function href(page: string, query: Record<string, string> | URLSearchParams = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${page}${text === "" ? "" : `?${text}`}`;
}

export function executionLink(arn: string): string {
  return href("execution", { arn });
}

export function go(to: string): void {
  location.hash = to;
}

/** Change the address without a new entry in the browser's history. */
export function replace(to: string): void {
  history.replaceState(null, "", to);
  route.set(parse(to));
}
