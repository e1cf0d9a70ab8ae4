import { useEffect, useState } from "preact/hooks";
import { replay } from "../api.ts";
import { Failure } from "./common.tsx";
import { ExecutionLink } from "./execution.tsx";
import { Payload } from "./json.tsx";

/** What `durable-async replay` reports of an execution: whether today's code still does the same. */
export function ReplayView({ arn }: { arn: string }) {
  const [report, setReport] = useState<Record<string, unknown>>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    replay(arn).then(setReport, setError);
  }, [arn]);
  const [first, ...rest] = String(report?.["Text"] ?? "").split("\n");
  return (
    <div class="replay-view">
      <h1>
        Replay of <ExecutionLink arn={arn} />
      </h1>
      <Failure error={error} />
      {report === undefined && !error && <p role="status">Today's code replays the history …</p>}
      {report && (
        <>
          <p class={`sentence ${report["Passed"] === true ? "passed" : "failure"}`} role="status">
            {first}
          </p>
          {rest.length > 0 && <pre>{rest.join("\n")}</pre>}
          <Payload title="Report" text={JSON.stringify(report)} />
        </>
      )}
    </div>
  );
}
