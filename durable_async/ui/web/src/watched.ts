// A value that parts of the page show and that changes without them.

import { useEffect, useState } from "preact/hooks";

export class Watched<T> {
  private readonly watchers = new Set<(value: T) => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const watcher of [...this.watchers]) watcher(value);
  }

  watch(watcher: (value: T) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

export function useWatched<T>(watched: Watched<T>): T {
  const [value, setValue] = useState(watched.get());
  useEffect(() => {
    setValue(watched.get());
    return watched.watch((next) => setValue(() => next));
  }, [watched]);
  return value;
}

/** Epoch seconds, which advance once a second while the page is visible. */
export function useNow(moves: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!moves) return;
    const timer = setInterval(() => document.hidden || setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [moves]);
  return now;
}
