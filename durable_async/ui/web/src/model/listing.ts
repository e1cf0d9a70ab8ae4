// The executions of several functions as one list, the newest first, read page by page. Pure: the pages are given.

export interface Item {
  DurableExecutionArn: string;
  StartTimestamp: number;
}

export interface Stream<T extends Item> {
  name: string;
  waiting: T[];
  /** Undefined: there is no further page; empty: the first page. */
  marker: string | undefined;
}

export function streamsOf<T extends Item>(names: string[]): Stream<T>[] {
  return names.map((name) => ({ name, waiting: [], marker: "" }));
}

/** The streams that need another page before it is known what comes next. */
export function lacking<T extends Item>(streams: Stream<T>[]): Stream<T>[] {
  return streams.filter((each) => each.waiting.length === 0 && each.marker !== undefined);
}

/** Take what is known to come next, until a stream lacks a page. */
export function take<T extends Item>(streams: Stream<T>[], oldestFirst: boolean): T[] {
  const taken: T[] = [];
  const sign = oldestFirst ? 1 : -1;
  const heads = new Map(streams.map((each) => [each, 0]));
  for (;;) {
    let best: Stream<T> | undefined;
    for (const stream of streams) {
      const item = stream.waiting[heads.get(stream)!];
      if (item === undefined) {
        if (stream.marker !== undefined) return finish();
        continue;
      }
      const chosen = best?.waiting[heads.get(best)!];
      if (chosen === undefined || sign * (item.StartTimestamp - chosen.StartTimestamp) < 0) best = stream;
    }
    if (best === undefined) return finish();
    taken.push(best.waiting[heads.get(best)!]!);
    heads.set(best, heads.get(best)! + 1);
  }

  function finish(): T[] {
    for (const [stream, head] of heads) stream.waiting.splice(0, head);
    return taken;
  }
}

/** The list with what a fresh look at its beginning has: changed items in place, new ones in front. */
export function refreshed<T extends Item>(items: T[], fresh: T[], oldestFirst: boolean): T[] {
  const byArn = new Map(fresh.map((each) => [each.DurableExecutionArn, each]));
  let changed = false;
  const next = items.map((each) => {
    const found = byArn.get(each.DurableExecutionArn);
    byArn.delete(each.DurableExecutionArn);
    if (found === undefined || JSON.stringify(found) === JSON.stringify(each)) return each;
    changed = true;
    return found;
  });
  if (!oldestFirst && byArn.size > 0) return [...byArn.values(), ...next];
  return changed ? next : items;
}
