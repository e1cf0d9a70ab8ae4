import { useState } from "preact/hooks";
import { act, type Action, home } from "../api.ts";
import { commandFor } from "../model/commands.ts";
import type { Operation } from "../model/history.ts";
import { type Execution, nameOf } from "../model/waiting.ts";
import { href } from "../route.ts";
import { ACTIONS } from "./bulk.tsx";
import { Command, Dialog, Failure } from "./common.tsx";
import { ForkDialog } from "./fork.tsx";

const OURS: Action[] = ["cancel", "redrive"]; // AWS has no such operations

/** Whether the page can have an execution do this now. */
function can(action: Action, execution: Execution): boolean {
  const about = home.get();
  if (!about?.writes || (about.kind === "aws" && OURS.includes(action))) return false;
  return ACTIONS[action].applies(execution.Status);
}

/** The buttons of an execution: those that its status allows. */
export function ExecutionActions({ execution, said, onDone }: { execution: Execution; said: string; onDone: (what: string) => void }) {
  const [action, setAction] = useState<Action>();
  const [forking, setForking] = useState(false);
  const possible = (Object.keys(ACTIONS) as Action[]).filter((each) => can(each, execution));
  return (
    <>
      {!home.get()?.writes && <span class="muted">A file is shown: nothing can be changed.</span>}
      {possible.map((each) => (
        <button key={each} type="button" class={each === "stop" || each === "delete" ? "danger" : ""} onClick={() => setAction(each)}>
          {ACTIONS[each].button}
        </button>
      ))}
      <button type="button" onClick={() => setForking(true)}>
        Fork
      </button>
      <span role="status" class="muted">
        {said}
      </span>
      {forking && <ForkDialog execution={execution} onClose={() => setForking(false)} />}
      {action && (
        <ActionDialog
          action={action}
          execution={execution}
          onClose={() => setAction(undefined)}
          onDone={(what) => {
            onDone(what);
            setAction(undefined);
          }}
        />
      )}
    </>
  );
}

interface OperationProps {
  execution: Execution;
  operation: Operation;
  onDone: (what: string) => void;
}

/** The buttons of an operation: to do again what began with it. */
export function OperationActions({ execution, operation, onDone }: OperationProps) {
  const [chosen, setChosen] = useState<"fork" | "redrive">();
  const close = () => setChosen(undefined);
  return (
    <div class="buttons">
      <button type="button" onClick={() => setChosen("fork")}>
        Fork before it
      </button>
      {can("redrive", execution) && (
        <button type="button" onClick={() => setChosen("redrive")}>
          Redrive from it
        </button>
      )}
      {chosen === "fork" && <ForkDialog execution={execution} before={operation} onClose={close} />}
      {chosen === "redrive" && (
        <ActionDialog
          action="redrive"
          execution={execution}
          from={operation}
          onClose={close}
          onDone={(what) => {
            onDone(what);
            close();
          }}
        />
      )}
    </div>
  );
}

interface Props {
  action: Action;
  execution: Execution;
  /** Of a redrive: where it begins; undefined: with what failed. */
  from?: Operation;
  onClose: () => void;
  onDone: (what: string) => void;
}

const DONE: Record<Action, string> = {
  cancel: "It was asked to end.",
  stop: "It was stopped.",
  pause: "It was paused.",
  resume: "It continues.",
  redrive: "It continues from what succeeded.",
  delete: "It was deleted.",
};

/** Where a reason is kept: in the request of these actions. */
const REASONS: Partial<Record<Action, string>> = { cancel: "Reason", pause: "Reason", resume: "Reason", stop: "ErrorMessage" };

function ActionDialog({ action, execution, from, onClose, onDone }: Props) {
  const [error, setError] = useState<unknown>();
  const [running, setRunning] = useState(false);
  const { button } = ACTIONS[action];
  const question = from === undefined ? ACTIONS[action].question : `Let it do everything from ${nameOf(from)} on again?`;
  const arn = execution.DurableExecutionArn;
  const member = REASONS[action];

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    const reason = new FormData(event.currentTarget as HTMLFormElement).get("reason");
    setRunning(true);
    try {
      await act(arn, action, { ...(member && reason ? { [member]: reason } : {}), ...(from ? { From: from.id } : {}) });
      onDone(DONE[action]);
      if (action === "delete") location.hash = href("executions");
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  }

  return (
    <Dialog title={`${button} ${execution.DurableExecutionName}`} onClose={onClose}>
      <p>{question}</p>
      <form onSubmit={(event) => void submit(event)}>
        {member && (
          <label>
            Reason <input name="reason" maxLength={1000} placeholder="optional" />
          </label>
        )}
        <Failure error={error} />
        <div class="buttons">
          <button type="submit" class={action === "resume" ? "primary" : "danger"} disabled={running}>
            {button}
          </button>
          <button type="button" onClick={onClose}>
            Leave it as it is
          </button>
        </div>
      </form>
      <p class="muted">The same on the command line:</p>
      <Command text={commandFor(home.get()?.target ?? {}, action, arn, from?.id)} />
    </Dialog>
  );
}
