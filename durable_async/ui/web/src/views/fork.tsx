import { useState } from "preact/hooks";
import { fork, home } from "../api.ts";
import { type Fork, forkCommand, localForkCommands } from "../model/commands.ts";
import type { Operation } from "../model/history.ts";
import { parse } from "../model/json.ts";
import { type Execution, nameOf } from "../model/waiting.ts";
import { executionLink, go } from "../route.ts";
import { Command, Dialog, Failure } from "./common.tsx";

interface Props {
  execution: Execution;
  /** The first operation that is done again; undefined: those that failed. */
  before?: Operation;
  onClose: () => void;
}

/** Starts an execution with the record of another, and opens it. If the service has no forks, it shows commands that do so
 * on the viewer's machine. */
export function ForkDialog({ execution, before, onClose }: Props) {
  const [name, setName] = useState("");
  const [input, setInput] = useState("");
  const [error, setError] = useState<unknown>();
  const [running, setRunning] = useState(false);
  const about = home.get();
  const forks = about?.writes === true && about.kind === "service";
  const arn = execution.DurableExecutionArn;
  const asked: Fork = { before: before?.id, name: name.trim(), input: input.trim() };
  const unreadable = asked.input !== "" && parse(asked.input) === undefined;

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    setRunning(true);
    try {
      go(executionLink(await fork(arn, asked)));
      onClose();
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  }

  return (
    <Dialog title={`Fork ${execution.DurableExecutionName}`} onClose={onClose}>
      <What before={before} />
      <form onSubmit={(event) => void submit(event)}>
        {forks && <Name value={name} onInput={setName} />}
        <Input value={input} unreadable={unreadable} original={execution.InputPayload ?? ""} onInput={setInput} />
        <Failure error={error} />
        <div class="buttons">
          {forks && (
            <button type="submit" class="primary" disabled={running || unreadable}>
              Fork
            </button>
          )}
          <button type="button" onClick={onClose}>
            {forks ? "Leave it as it is" : "Close"}
          </button>
        </div>
      </form>
      <p class="muted">
        {forks ? "The same on the command line:" : "It cannot be forked where it is. These commands continue it on your machine:"}
      </p>
      {(forks ? [forkCommand(about.target, arn, asked)] : localForkCommands(about?.target ?? {}, arn, asked)).map((each) => (
        <Command key={each} text={each} />
      ))}
    </Dialog>
  );
}

function What({ before }: { before: Operation | undefined }) {
  const from = before && (
    <>
      Everything from <code>{nameOf(before)}</code> on
    </>
  );
  return (
    <p>
      Start a new execution with the record of this one? {from ?? "What failed or had not ended"} is done again, on the code
      that is registered now. Steps that are done again have new idempotency keys. This execution does not change.
    </p>
  );
}

function Name({ value, onInput }: { value: string; onInput: (value: string) => void }) {
  return (
    <label>
      Name{" "}
      <input name="name" maxLength={64} placeholder="a new one" value={value} onInput={(event) => onInput(event.currentTarget.value)} />
    </label>
  );
}

interface InputProps {
  value: string;
  unreadable: boolean;
  /** The input of the execution that is forked. */
  original: string;
  onInput: (value: string) => void;
}

function Input({ value, unreadable, original, onInput }: InputProps) {
  return (
    <>
      <label>
        Input, as JSON
        <textarea
          name="input"
          rows={4}
          spellcheck={false}
          placeholder="the same"
          value={value}
          aria-invalid={unreadable}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      </label>
      <div class="buttons">
        <button type="button" class="small" onClick={() => onInput(original)}>
          Edit the input of this one
        </button>
      </div>
      {unreadable && <p class="failure">This is not JSON.</p>}
    </>
  );
}
