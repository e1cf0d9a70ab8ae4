// What the visible open executions wait for, from their histories: for services whose list does not say it.

import { useEffect, useRef, useState } from "preact/hooks";
import { history, type Summary } from "../api.ts";
import { Tail } from "../model/tail.ts";

const FIRST_PAGE = 100; // events; most histories are not longer
const PAGE = 1000;
const AGAIN_SECONDS = 2;
const AT_ONCE = 4;

/** The ends of histories by ARN. A tail changes when there is news, and then so does the map. */
export function useWaiting(visible: Summary[]): ReadonlyMap<string, Tail> {
  const [tails, setTails] = useState<ReadonlyMap<string, Tail>>(new Map());
  const looked = useRef(new Map<string, number>());
  const known = useRef(tails);
  const latest = useRef(visible);
  latest.current = visible;
  useEffect(() => {
    const ended = new AbortController();
    let running = 0;
    const look = () => {
      if (document.hidden) return;
      const due = Date.now() - AGAIN_SECONDS * 1000;
      for (const { DurableExecutionArn: arn, EndTimestamp, WaitingFor } of latest.current) {
        const settled = EndTimestamp !== undefined || WaitingFor !== undefined;
        if (settled || (looked.current.get(arn) ?? 0) > due || running >= AT_ONCE) continue;
        looked.current.set(arn, Date.now());
        running++;
        void read(arn, known.current.get(arn) ?? new Tail(), ended.signal)
          .then((tail) => setTails((known.current = new Map(known.current).set(arn, tail))))
          .catch(() => undefined) // the row keeps what it shows, and is looked at again
          .finally(() => {
            running--;
            if (!ended.signal.aborted) look();
          });
      }
    };
    const timer = setInterval(look, 250);
    return () => {
      clearInterval(timer);
      ended.abort();
    };
  }, []);
  return tails;
}

function read(arn: string, tail: Tail, signal: AbortSignal): Promise<Tail> {
  const query = { ReverseOrder: true, IncludeExecutionData: false };
  return tail.read((marker, number) =>
    history(arn, { ...query, MaxItems: number === 0 ? FIRST_PAGE : PAGE, Marker: marker }, signal),
  );
}
