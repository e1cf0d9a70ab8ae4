// Small parts that several views use.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { localTime, utc } from "../model/text.ts";

const SIGNS: Record<string, string> = {
  RUNNING: "▶",
  STARTED: "▶",
  PENDING: "↻",
  PAUSING: "‖",
  PAUSED: "‖",
  SUCCEEDED: "✓",
  FAILED: "✕",
  TIMED_OUT: "⧖",
  STOPPED: "■",
  CANCELLED: "⊘",
};

/** A status has a sign and a word, since not everyone sees its colour. */
export function Status({ of, short = false }: { of: string; short?: boolean }) {
  return (
    <span class={`status ${of}`} title={of}>
      <span aria-hidden="true">{SIGNS[of] ?? "?"}</span> <span class={short ? "word" : ""}>{words(of)}</span>
    </span>
  );
}

export function words(status: string): string {
  return status.toLowerCase().replaceAll("_", " ");
}

/** A time in the viewer's zone, and in UTC as its tooltip. */
export function Time({ at, now }: { at: number; now: number }) {
  return (
    <time dateTime={utc(at)} title={utc(at)}>
      {localTime(at, now)}
    </time>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class="small" aria-label={`Copy ${what}`} onClick={copy}>
      {done ? "Copied" : "Copy"}
    </button>
  );
}

export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code> <Copy text={text} what="the command" />
    </div>
  );
}

/** A modal dialog. Escape and the browser's own means close it. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={onClose}>
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

export function Failure({ error }: { error: unknown }) {
  if (!error) return null;
  return (
    <p class="failure" role="alert">
      {error instanceof Error ? error.message : String(error)}
    </p>
  );
}

const FRAMES = 20; // until a row that was scrolled to is in the document
let pending = 0;

/** Focus an element as soon as it is in the document. A later call replaces an earlier one. */
export function focusSoon(selector: string): void {
  const mine = ++pending;
  const look = (left: number) => {
    if (mine !== pending) return;
    const found = document.querySelector<HTMLElement>(selector);
    if (found !== null) found.focus();
    else if (left > 0) requestAnimationFrame(() => look(left - 1));
  };
  look(FRAMES); // at once if it can be: the next key may be Enter
}

/** Calls `act` for a key that is pressed outside of fields and without modifiers. */
export function useKeys(act: (key: string, event: KeyboardEvent) => boolean | undefined | void) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const inField = target.closest("input, textarea, select, dialog") !== null;
      if (event.ctrlKey || event.metaKey || event.altKey || (inField && event.key !== "Escape")) return;
      if (target.closest("dialog") === null && latest.current(event.key, event)) event.preventDefault();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}

export const NARROW = "(max-width: 720px)";

export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const listen = () => setMatches(media.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, [query]);
  return matches;
}
