import { useState } from "preact/hooks";
import { act, type Action, home } from "../api.ts";
import { commandFor } from "../model/commands.ts";
import type { Execution } from "../model/waiting.ts";
import { href } from "../route.ts";
import { ACTIONS } from "./bulk.tsx";
import { Command, Dialog, Failure } from "./common.tsx";

const OURS: Action[] = ["cancel", "redrive"]; // AWS has no such operations

/** The buttons of an execution: those that its status allows. */
export function ExecutionActions({ execution }: { execution: Execution }) {
  const [action, setAction] = useState<Action>();
  const [said, setSaid] = useState("");
  const about = home.get();
  if (!about?.writes) return <span class="muted">A file is shown: nothing can be changed.</span>;
  const possible = (Object.keys(ACTIONS) as Action[]).filter(
    (each) => ACTIONS[each].applies(execution.Status) && !(about.kind === "aws" && OURS.includes(each)),
  );
  return (
    <>
      {possible.map((each) => (
        <button key={each} type="button" class={each === "stop" || each === "delete" ? "danger" : ""} onClick={() => setAction(each)}>
          {ACTIONS[each].button}
        </button>
      ))}
      <span role="status" class="muted">
        {said}
      </span>
      {action && (
        <ActionDialog
          action={action}
          execution={execution}
          onClose={() => setAction(undefined)}
          onDone={(what) => {
            setSaid(what);
            setAction(undefined);
          }}
        />
      )}
    </>
  );
}

interface Props {
  action: Action;
  execution: Execution;
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

function ActionDialog({ action, execution, onClose, onDone }: Props) {
  const [error, setError] = useState<unknown>();
  const [running, setRunning] = useState(false);
  const { button, question } = ACTIONS[action];
  const arn = execution.DurableExecutionArn;
  const member = REASONS[action];

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    const reason = new FormData(event.currentTarget as HTMLFormElement).get("reason");
    setRunning(true);
    try {
      await act(arn, action, member && reason ? { [member]: reason } : {});
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
      <Command text={commandFor(home.get()?.target ?? {}, action, arn)} />
    </Dialog>
  );
}
