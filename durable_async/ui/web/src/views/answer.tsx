import { useEffect, useState } from "preact/hooks";
import { fail, heartbeat, home, succeed } from "../api.ts";
import { answerCommand, heartbeatCommand } from "../model/commands.ts";
import { answerOf, type Field, fieldsOf } from "../model/form.ts";
import { parse } from "../model/json.ts";
import type { Operation } from "../model/history.ts";
import { Command, Failure } from "./common.tsx";
import { Payload } from "./json.tsx";

const EXAMPLES = ["true", "false", "null", '{"approved": true}'];

const WAYS = { json: "with JSON", text: "with a text", fail: "with a failure" };

type Way = keyof typeof WAYS;

interface ResultProps {
  operation: Operation;
  asJson: boolean;
  unreadable: boolean;
  result: string;
  onResult: (result: string) => void;
}

/** Fields for the type that waits, where it is known; else a text. */
function Result({ operation, asJson, unreadable, result, onResult }: ResultProps) {
  const fields = asJson ? fieldsOf(operation.answerSchema) : undefined;
  const [values, setValues] = useState<ReadonlyMap<string, string>>(new Map());
  useEffect(() => {
    if (fields !== undefined) onResult(answerOf(fields, values));
  }, [fields !== undefined, values]);
  if (fields !== undefined) {
    const change = (name: string, value: string) => setValues(new Map(values).set(name, value));
    return (
      <>
        {fields.map((field) => (
          <Entry key={field.name} field={field} value={values.get(field.name) ?? ""} onChange={change} />
        ))}
      </>
    );
  }
  return (
    <>
      <label>
        {asJson ? "Result, as JSON; empty: none" : "Result"}
        <textarea
          name="result"
          rows={4}
          spellcheck={false}
          value={result}
          aria-invalid={unreadable}
          onInput={(event) => onResult(event.currentTarget.value)}
        />
      </label>
      {asJson && (
        <div class="buttons">
          {EXAMPLES.map((each) => (
            <button key={each} type="button" class="small" onClick={() => onResult(each)}>
              {each}
            </button>
          ))}
        </div>
      )}
      {unreadable && <p class="failure">This is not JSON.</p>}
      {asJson && operation.answerSchema && <Payload title="Its type" text={operation.answerSchema} />}
    </>
  );
}

function Entry({ field, value, onChange }: { field: Field; value: string; onChange: (name: string, value: string) => void }) {
  const { name, kind, choices, required } = field;
  const label = `${name || "Result"}${required ? "" : " (optional)"}`;
  if (kind === "choice" || kind === "truth") {
    return (
      <label>
        {label}
        <select value={value} required={required} onChange={(event) => onChange(name, event.currentTarget.value)}>
          <option value="">choose</option>
          {(kind === "truth" ? ["true", "false"] : choices).map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </label>
    );
  }
  return (
    <label>
      {label}
      {kind === "text" ? (
        <input value={value} onInput={(event) => onChange(name, event.currentTarget.value)} />
      ) : (
        <input
          type="number"
          step={kind === "integer" ? 1 : "any"}
          value={value}
          required={required}
          onInput={(event) => onChange(name, event.currentTarget.value)}
        />
      )}
    </label>
  );
}

/** Answers a callback with a result or a failure, or sends a heartbeat. */
export function AnswerForm({ operation }: { operation: Operation }) {
  const [result, setResult] = useState("");
  const [how, setHow] = useState<Way>("json");
  const [failure, setFailure] = useState({ ErrorType: "", ErrorMessage: "" });
  const [error, setError] = useState<unknown>();
  const [said, setSaid] = useState("");
  const [sending, setSending] = useState(false);
  const id = operation.callbackId ?? "";
  const target = home.get()?.target ?? {};
  const unreadable = how === "json" && result.trim() !== "" && parse(result) === undefined;
  const given = Object.fromEntries(Object.entries(failure).filter(([, value]) => value !== ""));

  async function send(what: string, request: () => Promise<void>) {
    setSending(true);
    try {
      await request();
      setSaid(what);
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
    setSending(false);
  }

  const answer = (event: SubmitEvent) => {
    event.preventDefault();
    if (how === "fail") void send("The failure was sent.", () => fail(id, given));
    else void send("The result was sent.", () => succeed(id, how === "json" ? result.trim() : result));
  };

  return (
    <form class="answer" aria-label="Answer the callback" onSubmit={answer}>
      <fieldset>
        <legend>Answer</legend>
        {(Object.keys(WAYS) as Way[]).map((each) => (
          <label key={each} class="chip">
            <input type="radio" name="how" checked={how === each} onChange={() => setHow(each)} /> {WAYS[each]}
          </label>
        ))}
      </fieldset>
      {how !== "fail" ? (
        <Result operation={operation} asJson={how === "json"} unreadable={unreadable} result={result} onResult={setResult} />
      ) : (
        (["ErrorType", "ErrorMessage"] as const).map((member) => (
          <label key={member}>
            {member === "ErrorType" ? "Type" : "Message"}
            <input
              name={member}
              value={failure[member]}
              onInput={(event) => setFailure({ ...failure, [member]: event.currentTarget.value })}
            />
          </label>
        ))
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={sending || unreadable}>
          {how === "fail" ? "Send the failure" : "Send the result"}
        </button>
        <button type="button" disabled={sending} onClick={() => void send("The heartbeat was sent.", () => heartbeat(id))}>
          Heartbeat
        </button>
        <span role="status" class="muted">
          {said}
        </span>
      </div>
      <Failure error={error} />
      <p class="muted">The same on the command line:</p>
      <Command text={answerCommand(target, id, how === "fail" ? { error: given } : { result })} />
      <Command text={heartbeatCommand(target, id)} />
    </form>
  );
}
