// The commands that do what a button does.

export type Target = Record<string, string>;

/** What a POSIX shell reads as this text. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function aws(target: Target, operation: string, ...parts: string[]): string {
  const options: string[] = [];
  for (const [member, option] of [
    ["endpoint", "--endpoint-url"],
    ["region", "--region"],
    ["profile", "--profile"],
  ] as const) {
    if (target[member] !== undefined) options.push(option, quoted(target[member]));
  }
  return ["aws lambda", operation, ...parts, ...options].join(" ");
}

function ours(target: Target, command: string, ...parts: string[]): string {
  const options = Object.entries(target).flatMap(([member, value]) => [`--${member}`, quoted(value)]);
  return ["durable-async", command, ...parts, ...options].join(" ");
}

/** @param from of a redrive: the id of the operation from which everything is done again */
export function commandFor(target: Target, action: string, arn: string, from?: string): string {
  const named = ["--durable-execution-arn", quoted(arn)];
  if (action === "stop") return aws(target, "stop-durable-execution", ...named);
  return ours(target, action, quoted(arn), ...options({ from }));
}

export interface Fork {
  /** The id of the first operation that is done again; undefined: those that failed. */
  before: string | undefined;
  name: string;
  /** JSON; empty: the input of the other execution. */
  input: string;
}

export function forkCommand(target: Target, arn: string, { before, name, input }: Fork): string {
  return ours(target, "fork", quoted(arn), ...options({ before, name, input }));
}

/** What continues an execution on this machine, from its history: for services without forks. */
export function localForkCommands(target: Target, arn: string, { before, input }: Fork): string[] {
  return [
    `${ours(target, "history", quoted(arn), "--json")} > history.jsonl`,
    ["durable-async run MODULE:HANDLER --fork history.jsonl", ...options({ before, input })].join(" "),
  ];
}

function options(values: Record<string, string | undefined>): string[] {
  return Object.entries(values).flatMap(([name, value]) => (value ? [`--${name}`, quoted(value)] : []));
}

export type Answer = { result: string } | { error: Record<string, string> };

export function answerCommand(target: Target, id: string, answer: Answer): string {
  const named = ["--callback-id", quoted(id)];
  if ("error" in answer) {
    const error = ["--error", quoted(JSON.stringify(answer.error))];
    return aws(target, "send-durable-execution-callback-failure", ...named, ...error);
  }
  const result = answer.result === "" ? [] : ["--cli-binary-format raw-in-base64-out --result", quoted(answer.result)];
  return aws(target, "send-durable-execution-callback-success", ...named, ...result);
}

export function heartbeatCommand(target: Target, id: string): string {
  return aws(target, "send-durable-execution-callback-heartbeat", "--callback-id", quoted(id));
}
