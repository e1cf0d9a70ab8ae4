// The form that the type of a callback's answer makes: which fields there are, and the JSON of what is in them.

export type Schema = {
  type?: string | string[];
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
};

export interface Field {
  /** The member's name; empty: the answer itself. */
  name: string;
  kind: "text" | "number" | "integer" | "truth" | "choice";
  /** Of a choice, as JSON. */
  choices: string[];
  required: boolean;
}

/** The fields; undefined: the type is not one that a few fields can hold, and the answer is written as JSON. */
export function fieldsOf(text: string | undefined): Field[] | undefined {
  const schema = read(text);
  if (schema === undefined) return undefined;
  const alone = fieldOf("", schema, true);
  if (alone !== undefined) return [alone];
  if (schema.type !== "object" || schema.properties === undefined) return undefined;
  const fields = Object.entries(schema.properties).map(([name, of]) =>
    fieldOf(name, of, schema.required?.includes(name) ?? false),
  );
  return fields.length === 0 || fields.includes(undefined) ? undefined : (fields as Field[]);
}

function read(text: string | undefined): Schema | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Schema);
  } catch {
    return undefined;
  }
}

function fieldOf(name: string, schema: Schema, required: boolean): Field | undefined {
  const field = (kind: Field["kind"], choices: string[] = []) => ({ name, kind, choices, required });
  if (schema.enum !== undefined) return field("choice", schema.enum.map((each) => JSON.stringify(each)));
  switch (schema.type) {
    case "boolean":
      return field("truth");
    case "string":
      return field("text");
    case "integer":
    case "number":
      return field(schema.type);
    default:
      return undefined;
  }
}

/** The answer as JSON. A field that is left empty is no member, unless it must be one. */
export function answerOf(fields: Field[], values: ReadonlyMap<string, string>): string {
  const given = fields.flatMap((field) => {
    const value = jsonOf(field, values.get(field.name) ?? "");
    return value === undefined ? [] : [[field.name, value] as const];
  });
  if (fields.length === 1 && fields[0]!.name === "") return given[0]?.[1] ?? "";
  return `{${given.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}`;
}

function jsonOf({ kind, required }: Field, value: string): string | undefined {
  if (kind === "text") return value === "" && !required ? undefined : JSON.stringify(value);
  return value.trim() === "" ? undefined : value.trim();
}
