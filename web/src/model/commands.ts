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

export function commandFor(target: Target, action: string, arn: string): string {
  const named = ["--durable-execution-arn", quoted(arn)];
  if (action === "stop") return aws(target, "stop-durable-execution", ...named);
  return ours(target, action, quoted(arn));
}

export function answerCommand(target: Target, how: "succeed" | "fail" | "heartbeat", id: string, result: string): string {
  const named = ["--callback-id", quoted(id)];
  switch (how) {
    case "succeed":
      return aws(
        target,
        "send-durable-execution-callback-success",
        ...named,
        "--cli-binary-format raw-in-base64-out --result",
        quoted(result),
      );
    case "fail":
      return aws(target, "send-durable-execution-callback-failure", ...named, "--error", quoted(result));
    case "heartbeat":
      return aws(target, "send-durable-execution-callback-heartbeat", ...named);
  }
}
