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

/** @param marker where they begin; empty: at their first page */
export function streamsOf<T extends Item>(names: string[], marker = ""): Stream<T>[] {
  return names.map((name) => ({ name, waiting: [], marker }));
}

export function isAtEnd<T extends Item>(streams: Stream<T>[]): boolean {
  return streams.every((each) => each.marker === undefined && each.waiting.length === 0);
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

/**
 * The list with a fresh look at a part of it: what changed is changed, what is new is there, and what is gone is gone. If
 * nothing of the part is in the list, something between them may be missing: the list is then the part, if that is its
 * first one.
 *
 * @returns also whether the list now ends where the part ends, so that it goes on after the part; undefined: read the
 * list again from its beginning
 */
export function refreshed<T extends Item>(
  items: T[],
  part: T[],
  place: { first: boolean; last: boolean },
): { items: T[]; goesOn: boolean } | undefined {
  const places = new Map(items.map((each, index) => [each.DurableExecutionArn, index]));
  const known = part.flatMap(({ DurableExecutionArn: arn }) => places.get(arn) ?? []);
  if (known.length === 0) return place.first ? { items: part, goesOn: true } : undefined;
  const from = place.first ? 0 : known[0]!;
  const to = place.last ? items.length : known.at(-1)! + 1;
  const goesOn = place.last || !places.has(part.at(-1)!.DurableExecutionArn);
  if (JSON.stringify(items.slice(from, to)) === JSON.stringify(part)) return { items, goesOn };
  return { items: [...items.slice(0, from), ...part, ...items.slice(to)], goesOn };
}
