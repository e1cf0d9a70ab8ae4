import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { compare, firstDifference, type Pair, type Side } from "../model/compare.ts";
import { counted } from "../model/text.ts";
import { go, href } from "../route.ts";
import { Failure, Status, useKeys } from "./common.tsx";
import { ExecutionLink } from "./execution.tsx";
import { type Live, useLive } from "./live.ts";
import { Rows, useVirtualRows } from "./virtual.tsx";

const ROW = 30; // pixels

/** Two executions of one workflow: the operations of both, row by row, and where they first differ. */
export function CompareView({ left, right }: { left: string; right: string }) {
  useKeys((key) => key === "Escape" && (go(href("executions")), true));
  const [one, other] = [useLive(left), useLive(right)];
  const events = `${one.history.lastEvent} ${other.history.lastEvent}`;
  const pairs = useMemo(() => compare(one.history, other.history), [events, one.history, other.history]);
  const differing = pairs.filter((each) => each.differences.length > 0).length;
  return (
    <div class="compare-view">
      <h1>Compare</h1>
      <Failure error={one.error ?? other.error} />
      <Pairs pairs={pairs} left={<Head live={one} arn={left} />} right={<Head live={other} arn={right} />}>
        {differing === 0
          ? `${counted(pairs.length, "operation")}, and no difference.`
          : `${counted(differing, "operation")} of ${pairs.length} differ.`}
      </Pairs>
    </div>
  );
}

interface PairsProps {
  pairs: Pair[];
  left: ComponentChildren;
  right: ComponentChildren;
  /** What is said of them. It is followed by the first difference. */
  children: ComponentChildren;
}

export function Pairs({ pairs, left, right, children }: PairsProps) {
  const first = firstDifference(pairs);
  const pair = pairs[first];
  const virtual = useVirtualRows(pairs.length, ROW);
  return (
    <>
      <p role="status" class="sentence">
        {children}{" "}
        {pair && (
          <>
            The first difference is at{" "}
            <button type="button" class="link" onClick={() => virtual.reveal(first)}>
              {(pair.left ?? pair.right)!.name}
            </button>
            : {pair.differences.join("; ")}.
          </>
        )}
      </p>
      <div class="table" role="table" aria-label="Operations side by side" aria-rowcount={pairs.length + 1}>
        <div role="rowgroup" class="head">
          <div role="row" class="pair">
            <span role="columnheader">{left}</span>
            <span role="columnheader">{right}</span>
            <span role="columnheader">Difference</span>
          </div>
        </div>
        <div role="rowgroup" class="scroller" ref={virtual.scroller} tabIndex={0} aria-label="Rows">
          <Rows of={virtual} draw={(index) => <PairRow pair={pairs[index]!} first={index === first} index={index} />} />
        </div>
      </div>
    </>
  );
}

function Head({ live, arn }: { live: Live; arn: string }) {
  return (
    <>
      <ExecutionLink arn={arn} /> {live.execution && <Status of={live.execution.Status} />}
    </>
  );
}

function PairRow({ pair, first, index }: { pair: Pair; first: boolean; index: number }) {
  const differs = pair.differences.length > 0;
  return (
    <div role="row" class={`pair ${differs ? "differs" : ""} ${first ? "first" : ""}`} aria-rowindex={index + 2}>
      <Cell side={pair.left} depth={pair.depth} />
      <Cell side={pair.right} depth={pair.depth} />
      <span role="cell">
        {first && <strong>first: </strong>}
        {pair.differences.join("; ")}
      </span>
    </div>
  );
}

function Cell({ side, depth }: { side: Side | undefined; depth: number }) {
  return (
    <span role="cell" style={{ paddingLeft: `${4 + Math.min(depth, 8) * 14}px` }}>
      {side && (
        <>
          {side.status && <Status of={side.status} short />} {side.name} <small>{side.note}</small>
        </>
      )}
    </span>
  );
}
