// Durations, times, sizes and names as people read them. Pure, except for the viewer's time zone.

const UNITS: [name: string, seconds: number][] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

/** The two largest units, such as `3 h 12 m`; below 10 seconds with a fraction, or in milliseconds or microseconds. */
export function duration(seconds: number): string {
  const whole = Math.max(0, seconds);
  if (whole > 0 && whole < 0.001) return `${Math.max(1, Math.round(whole * 1e6))} µs`;
  if (whole < 1) return `${Math.round(whole * 1000)} ms`;
  if (whole < 10) return `${Number(whole.toFixed(1))} s`;
  let left = Math.round(whole);
  const shown: string[] = [];
  for (const [name, unit] of UNITS) {
    const count = Math.floor(left / unit);
    left -= count * unit;
    if (count > 0) shown.push(`${count} ${name}`);
    else if (shown.length > 0) break;
    if (shown.length === 2) break;
  }
  return shown.join(" ");
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
// Made once: making one takes longer than drawing a row.
const TIME = new Intl.DateTimeFormat(undefined, CLOCK);
const DATE_AND_TIME = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "2-digit", ...CLOCK });

/** In the viewer's zone: the time alone if it is on the day of `now`, else with the date. */
export function localTime(at: number, now: number): string {
  const time = new Date(at * 1000);
  const today = time.toDateString() === new Date(now * 1000).toDateString();
  return (today ? TIME : DATE_AND_TIME).format(time);
}

export function utc(at: number): string {
  return new Date(at * 1000).toISOString();
}

/** In UTC, to the microsecond. */
export function exactUtc(at: number): string {
  const micros = Math.round(at * 1e6);
  const below = ((micros % 1000) + 1000) % 1000;
  return new Date((micros - below) / 1000).toISOString().replace("Z", `${String(below).padStart(3, "0")}Z`);
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The function's name in its ARN. */
export function functionName(arn: string): string {
  return arn.split(":")[6] ?? arn;
}

/** The version or alias in a function's ARN; empty if it names none. */
export function version(arn: string): string {
  return arn.split(":")[7] ?? "";
}

export function counted(count: number, one: string): string {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}
