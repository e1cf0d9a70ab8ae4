// A timeline as an SVG document of its own, for a report.

import { isOpen, type History } from "./history.ts";
import { duration, functionName, utc } from "./text.ts";
import { activityOf, type Row, scaleOf, type SegmentKind, segmentsOf } from "./timeline.ts";
import { type Execution, sentence } from "./waiting.ts";

const WIDTH = 1200;
const LABELS = 320;
const ROW = 20;
const HEAD = 84;
const MOST_ROWS = 2000;

const COLOURS: Record<SegmentKind, string> = {
  run: "#1a7f4b",
  failed: "#c62828",
  open: "#1f4fbf",
  wait: "#8a93a6",
  retry: "#c98a00",
  context: "#b9c2d3",
  cancelled: "#8a93a6",
};

export function timelineSvg(execution: Execution, history: History, rows: Row[], now: number): string {
  const scale = scaleOf(activityOf(history, now), WIDTH - LABELS - 20);
  const shown = rows.slice(0, MOST_ROWS);
  const height = HEAD + (shown.length + (rows.length > shown.length ? 1 : 0)) * ROW + 16;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(12, 26, `${functionName(execution.FunctionArn)}/${execution.DurableExecutionName}`, 'font-size="17" font-weight="bold"'),
    text(12, 46, `${execution.Status}: ${sentence(execution, history, now)}`),
    text(12, 64, `from ${utc(execution.StartTimestamp)} to ${utc(execution.EndTimestamp ?? now)}`, 'fill="#555"'),
  ];
  const bottom = height - 16;
  for (const { started, ended } of history.invocations) {
    const { x, width } = scale.place({ from: started, to: ended });
    parts.push(rect(LABELS + x, HEAD - 8, width, bottom - HEAD + 8, "#1f4fbf", 'fill-opacity="0.08"'));
  }
  for (const piece of scale.pieces.filter((each) => each.gap)) {
    parts.push(text(LABELS + piece.x, HEAD - 12, `⫽ ${duration(piece.to - piece.from)}`, 'fill="#555" font-size="10"'));
    parts.push(
      `<path d="M${LABELS + piece.x + piece.width / 2} ${HEAD - 8}V${bottom}" stroke="#999" stroke-dasharray="2 4"/>`,
    );
  }
  shown.forEach((row, place) => {
    const y = HEAD + place * ROW;
    const { operation } = row;
    const counts = row.counts ? ` (${[...row.counts].map(([status, count]) => `${count} ${status}`).join(", ")})` : "";
    const name = `${operation.name}${counts}`;
    parts.push(text(12 + Math.min(row.depth, 8) * 12, y + 14, name.length > 48 ? `${name.slice(0, 47)}…` : name));
    for (const { kind, from, to, label } of segmentsOf(operation, now)) {
      const { x, width } = scale.place({ from, to });
      const hatched = kind === "wait" || kind === "retry" ? `stroke="${COLOURS[kind]}" fill-opacity="0.35"` : "";
      const about = `<title>${escape(`${operation.name}: ${label}, ${duration(to - from)}`)}</title>`;
      parts.push(rect(LABELS + x, y + 4, width, ROW - 8, COLOURS[kind], hatched, about));
    }
    if (isOpen(operation)) parts.push(text(WIDTH - 14, y + 14, "…", 'text-anchor="end"'));
  });
  if (rows.length > shown.length) {
    parts.push(text(12, HEAD + shown.length * ROW + 14, `and ${rows.length - shown.length} more rows`, 'fill="#555"'));
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

function rect(x: number, y: number, width: number, height: number, fill: string, more = "", inside = ""): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}"`;
  return `<rect ${place} fill="${fill}" ${more}>${inside}</rect>`;
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${more}>${escape(content)}</text>`;
}

/** Also without the control characters that XML cannot contain. */
function escape(content: string): string {
  return content
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
