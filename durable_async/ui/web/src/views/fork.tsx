import { useState } from "preact/hooks";
import { fork, home } from "../api.ts";
import { forkCommand, localForkCommands } from "../model/commands.ts";
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
  const target = about?.target ?? {};
  const arn = execution.DurableExecutionArn;
  const asked = { before: before?.id, name: name.trim(), input: input.trim() };
  const unreadable = asked.input !== "" && parse(asked.input) === undefined;
  const here = about?.writes === true && about.kind === "service";

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    setRunning(true);
    try {
      const members = { Before: asked.before, DurableExecutionName: asked.name || undefined, Input: asked.input || undefined };
      go(executionLink(await fork(arn, members)));
      onClose();
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  }

  return (
    <Dialog title={`Fork ${execution.DurableExecutionName}`} onClose={onClose}>
      <p>
        Start a new execution with the record of this one?{" "}
        {before === undefined ? (
          "What failed or had not ended"
        ) : (
          <>
            Everything from <code>{nameOf(before)}</code> on
          </>
        )}{" "}
        is done again, on the code that is registered now. Steps that are done again have new idempotency keys. This
        execution does not change.
      </p>
      <form onSubmit={(event) => void submit(event)}>
        {here && (
          <label>
            Name{" "}
            <input name="name" maxLength={64} placeholder="a new one" value={name} onInput={(event) => setName(event.currentTarget.value)} />
          </label>
        )}
        <label>
          Input, as JSON
          <textarea
            name="input"
            rows={4}
            spellcheck={false}
            placeholder="the same"
            value={input}
            aria-invalid={unreadable}
            onInput={(event) => setInput(event.currentTarget.value)}
          />
        </label>
        <div class="buttons">
          <button type="button" class="small" onClick={() => setInput(execution.InputPayload ?? "")}>
            Edit the input of this one
          </button>
        </div>
        {unreadable && <p class="failure">This is not JSON.</p>}
        <Failure error={error} />
        <div class="buttons">
          {here && (
            <button type="submit" class="primary" disabled={running || unreadable}>
              Fork
            </button>
          )}
          <button type="button" onClick={onClose}>
            {here ? "Leave it as it is" : "Close"}
          </button>
        </div>
      </form>
      {here ? (
        <>
          <p class="muted">The same on the command line:</p>
          <Command text={forkCommand(target, arn, asked)} />
        </>
      ) : (
        <>
          <p class="muted">It cannot be forked where it is. These commands continue it on your machine:</p>
          {localForkCommands(target, arn, asked).map((each) => (
            <Command key={each} text={each} />
          ))}
        </>
      )}
    </Dialog>
  );
}
