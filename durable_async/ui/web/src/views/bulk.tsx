import { useState } from "preact/hooks";
import { act, type Action, type Summary } from "../api.ts";
import { counted, functionName } from "../model/text.ts";
import { Dialog, Status } from "./common.tsx";

const AT_ONCE = 4;
const PREVIEWED = 100;

interface ActionWords {
  button: string;
  question: string;
  applies: (status: string) => boolean;
}

const OPEN = ["RUNNING", "PAUSING", "PAUSED"];
const open = (status: string) => OPEN.includes(status);

export const ACTIONS: Record<Action, ActionWords> = {
  cancel: { button: "Cancel", question: "Ask the workflow to end, so that its compensations run?", applies: open },
  stop: { button: "Stop", question: "Stop for good? The workflow is not asked, and no compensation runs.", applies: open },
  pause: { button: "Pause", question: "Pause? No handler is invoked until it is resumed.", applies: (status) => status === "RUNNING" },
  resume: { button: "Resume", question: "Let it continue?", applies: (status) => status.startsWith("PAUS") },
  redrive: {
    button: "Redrive",
    question: "Let it continue from what succeeded? What failed is done again.",
    applies: (status) => !open(status) && status !== "SUCCEEDED",
  },
  delete: { button: "Delete", question: "Delete it with its history? Its name is free afterwards.", applies: (status) => !open(status) },
};

interface Props {
  chosen: Summary[];
  writes: boolean;
  onClear: () => void;
  onDone: () => void;
  onCompare: (left: string, right: string) => void;
}

/** What can be done with the executions that are selected in the list. */
export function BulkBar({ chosen, writes, onClear, onDone, onCompare }: Props) {
  // As they were when the button was pressed: the list goes on changing behind the dialog.
  const [asked, setAsked] = useState<{ action: Action; executions: Summary[] }>();
  const [left, right] = chosen;
  if (chosen.length === 0 && asked === undefined) return null;
  return (
    <div class="bulk" role="toolbar" aria-label="Selected executions">
      <strong>{counted(chosen.length, "execution")} selected</strong>
      {(Object.keys(ACTIONS) as Action[]).map((each) => {
        const executions = chosen.filter(({ Status: status }) => ACTIONS[each].applies(status));
        const ask = () => setAsked({ action: each, executions });
        return (
          <button key={each} type="button" disabled={!writes || executions.length === 0} onClick={ask}>
            {ACTIONS[each].button} {executions.length > 0 && `(${executions.length})`}
          </button>
        );
      })}
      <button
        type="button"
        disabled={chosen.length !== 2}
        onClick={() => onCompare(left!.DurableExecutionArn, right!.DurableExecutionArn)}
      >
        Compare
      </button>
      <button type="button" class="small" onClick={onClear}>
        Clear
      </button>
      {asked && (
        <BulkDialog
          {...asked}
          onClose={() => {
            setAsked(undefined);
            onDone();
          }}
        />
      )}
    </div>
  );
}

interface Outcome {
  done: number;
  failed: { name: string; message: string }[];
}

function BulkDialog({ action, executions, onClose }: { action: Action; executions: Summary[]; onClose: () => void }) {
  const [outcome, setOutcome] = useState<Outcome>();
  const [running, setRunning] = useState(false);
  const words = ACTIONS[action];

  async function carryOut() {
    setRunning(true);
    const waiting = [...executions];
    const result: Outcome = { done: 0, failed: [] };
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        try {
          await act(next.DurableExecutionArn, action);
          result.done++;
        } catch (error) {
          result.failed.push({ name: next.DurableExecutionName, message: (error as Error).message });
        }
        setOutcome({ done: result.done, failed: [...result.failed] });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setRunning(false);
  }

  return (
    <Dialog title={`${words.button} ${counted(executions.length, "execution")}`} onClose={onClose}>
      {outcome === undefined && (
        <>
          <p>{words.question}</p>
          <ul class="preview" aria-label="Executions" tabIndex={0}>
            {executions.slice(0, PREVIEWED).map((each) => (
              <li key={each.DurableExecutionArn}>
                {functionName(each.FunctionArn)}/{each.DurableExecutionName} <Status of={each.Status} />
              </li>
            ))}
            {executions.length > PREVIEWED && <li>and {counted(executions.length - PREVIEWED, "other")}</li>}
          </ul>
        </>
      )}
      {outcome !== undefined && (
        <div role="status">
          <p>
            {words.button}: {outcome.done} of {executions.length} done
            {outcome.failed.length > 0 && `, ${outcome.failed.length} refused`}.
          </p>
          <ul class="preview">
            {outcome.failed.map(({ name, message }) => (
              <li key={name}>
                {name}: {message}
              </li>
            ))}
          </ul>
        </div>
      )}
      <form method="dialog" class="buttons">
        {outcome === undefined && (
          <button type="button" class="danger" disabled={running} onClick={() => void carryOut()}>
            {words.button}
          </button>
        )}
        <button type="submit">{outcome === undefined ? "Leave them as they are" : "Close"}</button>
      </form>
    </Dialog>
  );
}
