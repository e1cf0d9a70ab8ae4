import { useEffect, useMemo, useState } from "preact/hooks";
import { replay } from "../api.ts";
import { replayed, type Report } from "../model/replay.ts";
import { executionLink, go } from "../route.ts";
import { Failure, useKeys } from "./common.tsx";
import { Pairs } from "./compare.tsx";
import { ExecutionLink } from "./execution.tsx";
import { Payload } from "./json.tsx";
import { useLive } from "./live.ts";

/** An execution beside a replay of it: whether today's code still does the same, and where it first does not. */
export function ReplayView({ arn }: { arn: string }) {
  useKeys((key) => key === "Escape" && (go(executionLink(arn)), true));
  const { history, complete, error: unread } = useLive(arn);
  const [report, setReport] = useState<Report>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    replay(arn).then(setReport, setError);
  }, [arn]);
  const events = history.lastEvent;
  const pairs = useMemo(() => (report === undefined ? [] : replayed(history, report)), [history, events, report]);
  return (
    <div class="compare-view">
      <h1>
        Replay of <ExecutionLink arn={arn} />
      </h1>
      <Failure error={error ?? unread} />
      {(report === undefined || !complete) && !error && <p role="status">Today's code replays the history …</p>}
      {report !== undefined && complete && (
        <>
          <Pairs pairs={pairs} left="On record" right="Today's code">
            <span class={report.Passed ? "passed" : "failure"}>{firstLine(report)}</span>
          </Pairs>
          <Payload title="Report" text={JSON.stringify(report)} />
        </>
      )}
    </div>
  );
}

function firstLine({ Text }: Report): string {
  const line = Text.split("\n", 1)[0]!;
  return `${line[0]!.toUpperCase()}${line.slice(1)}.`;
}
