// JSON as a tree for reading. Numbers keep the digits that they were written with.

export type Json = null | boolean | string | Digits | Json[] | { [name: string]: Json };

/** A number as its text has it: JavaScript's own would lose digits of large ones. */
export class Digits {
  constructor(readonly text: string) {}
}

/** Undefined: the text is not JSON. */
export function parse(text: string): Json | undefined {
  const keep = (_name: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" ? new Digits(context?.source ?? String(value)) : value;
  try {
    return JSON.parse(text, keep as (name: string, value: unknown) => unknown) as Json;
  } catch {
    return undefined;
  }
}

export interface Part {
  name: string;
  value: Json;
  path: string;
}

/** The members or items of a value; empty for what has none. */
export function partsOf(value: Json, path: string): Part[] {
  if (Array.isArray(value)) return value.map((each, place) => ({ name: String(place), value: each, path: `${path}[${place}]` }));
  if (value === null || typeof value !== "object" || value instanceof Digits) return [];
  return Object.entries(value).map(([name, each]) => ({ name, value: each, path: `${path}.${name}` }));
}

export function isTree(value: Json): value is Json[] | { [name: string]: Json } {
  return value !== null && typeof value === "object" && !(value instanceof Digits);
}

/** A value without parts, as JSON writes it. */
export function leaf(value: Json): string {
  return value instanceof Digits ? value.text : JSON.stringify(value);
}

/** The paths of the values that contain the text in their name or as a leaf, and of all values around them. */
export function found(value: Json, text: string): Set<string> {
  const wanted = text.toLowerCase();
  const paths = new Set<string>();
  const look = (part: Part): boolean => {
    let hit = part.name.toLowerCase().includes(wanted);
    if (!isTree(part.value)) hit ||= leaf(part.value).toLowerCase().includes(wanted);
    for (const each of partsOf(part.value, part.path)) hit = look(each) || hit;
    if (hit) paths.add(part.path);
    return hit;
  };
  if (text !== "") look({ name: "", value, path: "$" });
  return paths;
}
