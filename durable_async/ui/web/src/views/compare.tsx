import { useMemo } from "preact/hooks";
import { compare, firstDifference, type Pair } from "../model/compare.ts";
import type { Operation } from "../model/history.ts";
import { counted, duration } from "../model/text.ts";
import { Failure, Status } from "./common.tsx";
import { ExecutionLink } from "./execution.tsx";
import { type Live, useLive } from "./live.ts";
import { Rows, useVirtualRows } from "./virtual.tsx";

const ROW = 30; // pixels

/** Two executions of one workflow: the operations of both, row by row, and where they first differ. */
export function CompareView({ left, right }: { left: string; right: string }) {
  const [one, other] = [useLive(left), useLive(right)];
  const events = `${one.history.lastEvent} ${other.history.lastEvent}`;
  const pairs = useMemo(() => compare(one.history, other.history), [events, one.history, other.history]);
  const first = firstDifference(pairs);
  const virtual = useVirtualRows(pairs.length, ROW);
  const differing = pairs.filter((each) => each.differences.length > 0).length;
  return (
    <div class="compare-view">
      <h1>Compare</h1>
      <Failure error={one.error ?? other.error} />
      <p role="status" class="sentence">
        {first < 0 ? (
          `${counted(pairs.length, "operation")}, and no difference`
        ) : (
          <>
            {counted(differing, "operation")} of {pairs.length} differ. The first is{" "}
            <button type="button" class="link" onClick={() => virtual.reveal(first)}>
              {(pairs[first]!.left ?? pairs[first]!.right)!.name}
            </button>
            : {pairs[first]!.differences.join("; ")}.
          </>
        )}
      </p>
      <div class="table" role="table" aria-label="Operations of both executions" aria-rowcount={pairs.length + 1}>
        <div role="rowgroup" class="head">
          <div role="row" class="pair">
            <Head live={one} arn={left} />
            <Head live={other} arn={right} />
            <span role="columnheader">Difference</span>
          </div>
        </div>
        <div role="rowgroup" class="scroller" ref={virtual.scroller} tabIndex={0} aria-label="Rows">
          <Rows of={virtual} draw={(index) => <PairRow pair={pairs[index]!} first={index === first} index={index} />} />
        </div>
      </div>
    </div>
  );
}

function Head({ live, arn }: { live: Live; arn: string }) {
  return (
    <span role="columnheader">
      <ExecutionLink arn={arn} /> {live.execution && <Status of={live.execution.Status} />}
    </span>
  );
}

function PairRow({ pair, first, index }: { pair: Pair; first: boolean; index: number }) {
  const differs = pair.differences.length > 0;
  return (
    <div role="row" class={`pair ${differs ? "differs" : ""} ${first ? "first" : ""}`} aria-rowindex={index + 2}>
      <Cell operation={pair.left} depth={pair.depth} />
      <Cell operation={pair.right} depth={pair.depth} />
      <span role="cell">
        {first && <strong>first: </strong>}
        {pair.differences.join("; ")}
      </span>
    </div>
  );
}

function Cell({ operation, depth }: { operation: Operation | undefined; depth: number }) {
  return (
    <span role="cell" style={{ paddingLeft: `${4 + Math.min(depth, 8) * 14}px` }}>
      {operation && (
        <>
          <Status of={operation.status} short /> {operation.name}{" "}
          {operation.ended !== undefined && <small>{duration(operation.ended - operation.started)}</small>}
        </>
      )}
    </span>
  );
}
