// A scrolling list that has only its visible rows in the document.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";

const OVERSCAN = 8; // rows beyond each edge
const PRINTED = 2000; // rows, likewise

export interface VirtualRows {
  scroller: RefObject<HTMLDivElement | null>;
  rows: { index: number; top: number }[];
  height: number;
  reveal: (index: number) => void;
}

export function useVirtualRows(count: number, rowHeight: number): VirtualRows {
  const scroller = useRef<HTMLDivElement>(null);
  const printing = usePrinting();
  const [, redraw] = useReducer((state: number) => state + 1, 0);
  const [virtualizer] = useState(() => new Virtualizer<HTMLDivElement, HTMLDivElement>(options()));
  virtualizer.setOptions(options());
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer._willUpdate());
  useLayoutEffect(() => virtualizer.measure(), [virtualizer, rowHeight]);
  return {
    scroller,
    rows: virtualizer.getVirtualItems().map(({ index, start }) => ({ index, top: start })),
    height: virtualizer.getTotalSize(),
    reveal: (index) => virtualizer.scrollToIndex(index),
  };

  function options() {
    return {
      count,
      getScrollElement: () => scroller.current,
      estimateSize: () => rowHeight,
      overscan: printing ? PRINTED : OVERSCAN,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => redraw(undefined),
    };
  }
}

/** On paper there is no scrolling, so that more rows have to be there. */
function usePrinting(): boolean {
  const [printing, setPrinting] = useState(false);
  useEffect(() => {
    const begin = () => setPrinting(true);
    const end = () => setPrinting(false);
    addEventListener("beforeprint", begin);
    addEventListener("afterprint", end);
    return () => {
      removeEventListener("beforeprint", begin);
      removeEventListener("afterprint", end);
    };
  }, []);
  return printing;
}

/** Run `draw` for each visible row, at its place. */
export function Rows({ of, draw }: { of: VirtualRows; draw: (index: number) => ComponentChildren }) {
  return (
    <div class="rows" role="presentation" style={{ height: `${of.height}px` }}>
      {of.rows.map(({ index, top }) => (
        <div key={index} class="place" role="presentation" style={{ transform: `translateY(${top}px)` }}>
          {draw(index)}
        </div>
      ))}
    </div>
  );
}
