// Calls of Lambda's API through the page's own server, and what they say about the connection and the session.

import type { Fork } from "./model/commands.ts";
import type { HistoryEvent } from "./model/history.ts";
import type { Execution, WaitingFor } from "./model/waiting.ts";
import type { Report } from "./model/replay.ts";
import { Watched } from "./watched.ts";

export interface Home {
  place: string;
  kind: "service" | "aws";
  ours: boolean;
  live: boolean;
  writes: boolean;
  replays: boolean;
  target: Record<string, string>;
}

export interface Summary {
  DurableExecutionArn: string;
  DurableExecutionName: string;
  FunctionArn: string;
  Status: string;
  StartTimestamp: number;
  EndTimestamp?: number;
  Tags?: Record<string, string>;
  /** Of an open execution, from a service that says it. */
  WaitingFor?: WaitingFor;
  CancellationRequested?: boolean;
  PauseDetails?: { Reason?: string };
}

export interface ListPage {
  DurableExecutions: Summary[];
  NextMarker?: string;
  /** Of an answer that is held back until it changes. */
  PageDigest?: string;
}

export interface HistoryPage {
  Events: HistoryEvent[];
  NextMarker?: string;
}

export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export type Connection = "connected" | "lost" | "signed out";

/** What the last answer said. Every part of the page that calls sees it. */
export const connection = new Watched<Connection>("connected");
export const home = new Watched<Home | undefined>(undefined);

/** Has an event `change` whenever this page has changed something. */
export const changes = new EventTarget();

const VERSION = "2025-12-01";
const RETRY_SECONDS = [0.25, 0.5, 1, 2];

type Query = Record<string, string | number | boolean | string[] | undefined>;

interface Call {
  method?: string;
  query?: Query;
  body?: string;
  signal?: AbortSignal | undefined;
}

/** Ask, and while there is no connection ask again. What changes something is asked once. */
async function get<T>(path: string, call: Call = {}): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await once<T>(path, call);
    } catch (error) {
      if (!isLost(error) || call.signal?.aborted) throw error;
      await back(tries, call.signal);
    }
  }
}

/** Wait until the page's server answers again. The call that is repeated may take long, so another one finds out. */
async function back(tries: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(RETRY_SECONDS[Math.min(tries, RETRY_SECONDS.length - 1)]!, signal);
  if (!signal?.aborted) await once("about", { signal }).catch(() => undefined);
}

async function once<T>(path: string, { method = "GET", query = {}, body, signal }: Call): Promise<T> {
  let response: Response;
  const headers: Record<string, string> = { "X-Amz-Durable-Async": "page" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    response = await fetch(`${path}${queryOf(query)}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    connection.set("lost");
    throw new ApiFailure(0, "Unreachable", "The page's server does not answer.");
  }
  if (response.ok) {
    connection.set("connected");
    if (method !== "GET") changes.dispatchEvent(new Event("change"));
    return (response.status === 204 ? {} : await response.json()) as T;
  }
  const failure = await failureOf(response);
  if (failure.code === "UnauthorizedException") connection.set("signed out");
  else connection.set(isLost(failure) ? "lost" : "connected");
  throw failure;
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const said = (await response.json().catch(() => ({}))) as { Message?: string; message?: string };
  const code = response.headers.get("x-amzn-ErrorType") ?? `status ${response.status}`;
  return new ApiFailure(response.status, code, said.Message ?? said.message ?? `The answer has status ${response.status}.`);
}

function isLost(error: unknown): boolean {
  return error instanceof ApiFailure && (error.status === 0 || error.status === 502 || error.status === 503);
}

function queryOf(query: Query): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const each of value) pairs.append(name, each);
    else if (value !== undefined && value !== "") pairs.append(name, String(value));
  }
  return pairs.size === 0 ? "" : `?${pairs}`;
}

export async function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const execution = (arn: string) => `api/${VERSION}/durable-executions/${encodeURIComponent(arn)}`;
const callback = (id: string) => `api/${VERSION}/durable-execution-callbacks/${encodeURIComponent(id)}`;

export async function about(): Promise<Home> {
  const found = await get<Home>("about");
  home.set(found);
  return found;
}

export async function signIn(token: string): Promise<void> {
  await once("session", { method: "POST", body: JSON.stringify({ token, secure: location.protocol === "https:" }) });
}

/** The names of the durable functions; none if the service or the caller's permissions do not allow to list them. */
export async function functions(signal?: AbortSignal): Promise<string[]> {
  try {
    return await listedFunctions(signal);
  } catch (error) {
    if (refused(error)) return [];
    throw error;
  }
}

async function listedFunctions(signal?: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  let marker: string | undefined;
  do {
    const page: { Functions: { FunctionName: string; DurableConfig?: object }[]; NextMarker?: string } = await get(
      "api/2015-03-31/functions/",
      { query: { Marker: marker }, signal },
    );
    names.push(...page.Functions.filter((each) => each.DurableConfig).map((each) => each.FunctionName));
    marker = page.NextMarker;
  } while (marker);
  return names;
}

/** The executions of all functions; only services that list all have this operation. */
export const EVERY_FUNCTION = "";

export async function executions(
  functionName: string,
  query: Query,
  signal?: AbortSignal,
): Promise<ListPage> {
  const every = functionName === EVERY_FUNCTION;
  const path = every ? "durable-executions" : `functions/${encodeURIComponent(functionName)}/durable-executions`;
  return get(`api/${VERSION}/${path}`, { query, signal });
}

/** What a service can do with lists beyond AWS's API. */
export interface Lists {
  /** It lists the executions of all functions. */
  all: boolean;
  /** It filters by tags and by the beginning of a name, as this package's service does, which alone can count. */
  filters: boolean;
}

let lists: Promise<Lists> | undefined;

export function offeredLists(): Promise<Lists> {
  const about = home.get();
  if (about?.kind === "aws") return Promise.resolve({ all: false, filters: false });
  if (about?.ours) return Promise.resolve({ all: true, filters: true });
  lists ??= Promise.all([
    has(`api/${VERSION}/durable-executions`, { MaxItems: 1 }),
    has(`api/${VERSION}/durable-execution-counts`, { DurableExecutionName: "-" }),
  ]).then(([all, filters]) => ({ all, filters }));
  lists.catch(() => (lists = undefined));
  return lists;
}

async function has(path: string, query: Query): Promise<boolean> {
  try {
    await get(path, { query });
    return true;
  } catch (error) {
    if (refused(error)) return false;
    throw error;
  }
}

/** The service answered, and the answer is that it does not do this. */
function refused(error: unknown): boolean {
  return error instanceof ApiFailure && error.status >= 400 && error.status !== 401 && !isLost(error);
}

export async function describe(arn: string, signal?: AbortSignal): Promise<Execution> {
  return get(execution(arn), { signal, query: { IncludeExecutionData: true } });
}

export async function history(arn: string, query: Query, signal?: AbortSignal): Promise<HistoryPage> {
  return get(`${execution(arn)}/history`, { query, signal });
}

/** The report of `durable-async replay`, where the page's server has the code. */
export async function replay(arn: string): Promise<Report> {
  return once(`replay/${encodeURIComponent(arn)}`, { method: "POST" });
}

export type Action = "stop" | "cancel" | "pause" | "resume" | "redrive" | "delete";

export async function act(arn: string, action: Action, members: Record<string, unknown> = {}): Promise<void> {
  if (action === "delete") await once(execution(arn), { method: "DELETE" });
  else await once(`${execution(arn)}/${action}`, { method: "POST", body: JSON.stringify(members) });
}

/** Start an execution with the record of another, and return its ARN. */
export async function fork(arn: string, { before, name, input }: Fork): Promise<string> {
  const members = { Before: before, DurableExecutionName: name || undefined, Input: input || undefined };
  const request = { method: "POST", body: JSON.stringify(members) };
  return (await once<{ DurableExecutionArn: string }>(`${execution(arn)}/fork`, request)).DurableExecutionArn;
}

export async function succeed(id: string, result: string): Promise<void> {
  await once(`${callback(id)}/succeed`, { method: "POST", body: result });
}

export async function fail(id: string, error: Record<string, string>): Promise<void> {
  await once(`${callback(id)}/fail`, { method: "POST", body: JSON.stringify(error) });
}

export async function heartbeat(id: string): Promise<void> {
  await once(`${callback(id)}/heartbeat`, { method: "POST", body: "{}" });
}
