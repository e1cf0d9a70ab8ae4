import { useMemo, useState } from "preact/hooks";
import { home } from "../api.ts";
import type { Operation } from "../model/history.ts";
import { isOpen } from "../model/history.ts";
import { counted, duration, functionName, version } from "../model/text.ts";
import { blocking, type ErrorObject, type Execution, nameOf, sentence } from "../model/waiting.ts";
import { executionLink, go, href } from "../route.ts";
import { useNow } from "../watched.ts";
import { ExecutionActions } from "./actions.tsx";
import { Failure, focusSoon, Status, Time, useKeys } from "./common.tsx";
import { Detail } from "./detail.tsx";
import { Payload } from "./json.tsx";
import { type Live, useLive } from "./live.ts";
import { Timeline } from "./timeline.tsx";

export function ExecutionView({ arn }: { arn: string }) {
  const live = useLive(arn);
  const { execution, history } = live;
  const now = useNow(!history.closed);
  const [chosen, setChosen] = useState<string>();
  const [said, setSaid] = useState("");
  const operation = chosen === undefined ? undefined : history.byId.get(chosen);
  useKeys((key) => {
    if (key !== "Escape") return false;
    if (document.activeElement instanceof HTMLInputElement) return document.activeElement.blur(), true;
    if (chosen === undefined) return go(href("executions")), true;
    setChosen(undefined);
    focusSoon(`[data-operation="${CSS.escape(chosen)}"] button.open`);
    return true;
  });
  if (execution === undefined) return live.error ? <Failure error={live.error} /> : <p role="status">Reading …</p>;
  return (
    <div class={`execution-view ${operation ? "with-detail" : ""}`}>
      <Head live={live} execution={execution} now={now} said={said} onDone={setSaid} onOpen={setChosen} />
      <Failure error={live.error} />
      <Facts live={live} execution={execution} now={now} />
      <Timeline live={live} execution={execution} now={now} chosen={chosen} onChoose={setChosen} />
      {operation && (
        <Detail
          key={operation.id}
          live={live}
          execution={execution}
          operation={operation}
          now={now}
          onDone={setSaid}
          onClose={() => setChosen(undefined)}
        />
      )}
    </div>
  );
}

interface HeadProps {
  live: Live;
  execution: Execution;
  now: number;
  /** What the last action did, also one of an operation: its detail may be gone by then. */
  said: string;
  onDone: (what: string) => void;
  onOpen: (id: string) => void;
}

function Head({ live, execution, now, said, onDone, onOpen }: HeadProps) {
  const arn = execution.DurableExecutionArn;
  const open = live.history.closed ? [] : blocking(live.history.operations());
  const callbacks = open.filter((each) => each.kind === "Callback");
  return (
    <div class="title">
      <nav aria-label="Breadcrumb">
        <a href={href("executions", { function: functionName(execution.FunctionArn) })}>
          {functionName(execution.FunctionArn)}
        </a>{" "}
        /
      </nav>
      <h1>{execution.DurableExecutionName}</h1>
      <p class="sentence" role="status">
        <Status of={execution.Status} short /> <span>{sentence(execution, live.history, now)}</span>
      </p>
      <div class="buttons">
        {callbacks.map((each) => (
          <button key={each.id} type="button" class="primary" onClick={() => onOpen(each.id)}>
            Answer {nameOf(each)}
          </button>
        ))}
        <ExecutionActions execution={execution} said={said} onDone={onDone} />
        {home.get()?.replays && <a href={href("replay", { arn })}>Replay on today's code</a>}
      </div>
    </div>
  );
}

function Facts({ live, execution, now }: { live: Live; execution: Execution; now: number }) {
  const { history } = live;
  const runs = useMemo(
    () => history.invocations.reduce((sum, { started, ended }) => sum + (ended - started), 0),
    [history.invocations.length],
  );
  const deadline = execution.ExpectedExecutionTimeoutTimestamp;
  return (
    <section class="facts-and-payloads" aria-label="Facts">
      <dl class="facts">
        <dt>Started</dt>
        <dd>
          <Time at={execution.StartTimestamp} now={now} />
        </dd>
        {execution.EndTimestamp !== undefined && (
          <>
            <dt>Ended</dt>
            <dd>
              <Time at={execution.EndTimestamp} now={now} />
            </dd>
          </>
        )}
        <dt>Took</dt>
        <dd>{duration((execution.EndTimestamp ?? now) - execution.StartTimestamp)}</dd>
        {deadline !== undefined && (
          <>
            <dt>Deadline</dt>
            <dd>
              <Time at={deadline} now={now} />, in {duration(deadline - now)}
            </dd>
          </>
        )}
        <dt>Invocations</dt>
        <dd>
          {history.invocations.length}, {duration(runs)} in all
        </dd>
        <dt>Operations</dt>
        <dd>
          {history.byId.size.toLocaleString("en")}
          {live.complete ? "" : " so far"}, {counted(history.lastEvent, "event")}
        </dd>
        {history.forkedFrom !== undefined && (
          <>
            <dt>Fork of</dt>
            <dd>
              <ExecutionLink arn={history.forkedFrom} />
            </dd>
          </>
        )}
        <dt>Version</dt>
        <dd>{execution.Version ?? version(execution.FunctionArn)}</dd>
      </dl>
      <Payload title="Input" text={execution.InputPayload} />
      {execution.Result !== undefined && <Payload title="Result" text={execution.Result} open />}
      {execution.Error !== undefined && <ErrorBox error={execution.Error} failed={failed(live)} />}
    </section>
  );
}

/** The innermost operations that failed for good. */
function failed(live: Live): Operation[] {
  const found: Operation[] = [];
  for (const each of live.history.operations()) {
    if (!isOpen(each) && each.status !== "SUCCEEDED" && !each.children.some((part) => part.status === each.status)) {
      found.push(each);
    }
  }
  return found.slice(0, 5);
}

/** An error with its chain of causes, as the traceback tells it. */
export function ErrorBox({ error, failed = [] }: { error: ErrorObject; failed?: Operation[] }) {
  const trace = (error.StackTrace ?? []).join("\n").split(/\n/);
  return (
    <section class="error" aria-label="Error">
      <h2>{error.ErrorType ?? "Error"}</h2>
      {error.ErrorMessage && <p class="message">{error.ErrorMessage}</p>}
      {failed.length > 0 && (
        <p>
          Failed in{" "}
          {failed.map((each, place) => (
            <>
              {place > 0 && ", "}
              <code>{each.name}</code>
            </>
          ))}
          .
        </p>
      )}
      {error.ErrorData && <Payload title="Data" text={error.ErrorData} />}
      {error.StackTrace && (
        <details open>
          <summary>Trace</summary>
          <pre tabIndex={0}>
            {trace.map((line) => (
              <span class={/^caused by |^\S*(Error|Exception)\b/.test(line) ? "cause" : ""}>
                {line}
                {"\n"}
              </span>
            ))}
          </pre>
        </details>
      )}
    </section>
  );
}

export function ExecutionLink({ arn }: { arn: string }) {
  return <a href={executionLink(arn)}>{arn.split("/").at(-2) ?? arn}</a>;
}
