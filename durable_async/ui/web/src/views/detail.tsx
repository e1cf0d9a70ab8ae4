import { useEffect, useRef, useState } from "preact/hooks";
import { home } from "../api.ts";
import { detailsOf, type HistoryEvent, isOpen, type Operation, payload, seconds } from "../model/history.ts";
import { idempotencyKey } from "../model/key.ts";
import { duration, exactUtc } from "../model/text.ts";
import { type ErrorObject, type Execution, nameOf, waited, waitsOn } from "../model/waiting.ts";
import { OperationActions } from "./actions.tsx";
import { AnswerForm } from "./answer.tsx";
import { Copy, Failure, Status, Time, words } from "./common.tsx";
import { ErrorBox } from "./execution.tsx";
import { Payload } from "./json.tsx";
import { eventsOf, type Live } from "./live.ts";

interface Props {
  live: Live;
  execution: Execution;
  operation: Operation;
  now: number;
  onDone: (what: string) => void;
  onClose: () => void;
}

/** Everything about one operation. Its payloads are read when it is opened. */
export function Detail({ live, execution, operation, now, onDone, onClose }: Props) {
  const arn = execution.DurableExecutionArn;
  const panel = useRef<HTMLElement>(null);
  const [events, setEvents] = useState<HistoryEvent[]>([]);
  const [error, setError] = useState<unknown>();
  const [known, setKnown] = useState(0);
  useEffect(() => panel.current?.focus(), []);
  useEffect(() => {
    let current = true;
    eventsOf(arn, live.pages, operation.events).then(
      (found) => current && (setEvents(found), setKnown(operation.events.length)),
      (failure: unknown) => current && setError(failure),
    );
    return () => {
      current = false;
    };
  }, [operation.events.length]);
  const answerable = !live.history.closed && home.get()?.writes === true;
  const callback = operation.subType === "WaitForCallback" ? operation.children.find(isCallback) : operation;
  return (
    <aside class="detail" aria-label={`Operation ${nameOf(operation)}`} tabIndex={-1} ref={panel}>
      <div class="tools">
        <h2>{nameOf(operation)}</h2>
        <button type="button" class="small" onClick={onClose}>
          Close
        </button>
      </div>
      <p class="sentence">
        <Status of={operation.status} /> {isOpen(operation) && operation.kind !== "Context" && waitsOn(waited(operation), now)}
      </p>
      {answerable && callback?.kind === "Callback" && isOpen(callback) && <AnswerForm operation={callback} />}
      <OperationActions execution={execution} operation={operation} onDone={onDone} />
      <Facts operation={operation} arn={arn} now={now} />
      <Failure error={error} />
      {known === 0 && !error && <p role="status">Reading its payloads …</p>}
      {events.map((event) => (
        <EventBox key={event.EventId} event={event} now={now} />
      ))}
    </aside>
  );
}

function isCallback(operation: Operation): boolean {
  return operation.kind === "Callback";
}

function Facts({ operation, arn, now }: { operation: Operation; arn: string; now: number }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Type", operation.subType],
    ["Started", <Time at={operation.started} now={now} />],
    ["In UTC", <code>{exactUtc(operation.started)}</code>],
  ];
  if (operation.ended !== undefined) facts.push(["Ended", <code>{exactUtc(operation.ended)}</code>]);
  facts.push(["Took", duration((operation.ended ?? now) - operation.started)]);
  if (operation.due !== undefined) facts.push(["Due", <code>{exactUtc(operation.due)}</code>]);
  if (operation.heartbeatSeconds) facts.push(["Heartbeat", `at least every ${duration(operation.heartbeatSeconds)}`]);
  if (operation.functionName) facts.push(["Function", operation.functionName]);
  if (operation.attempts.length > 0) facts.push(["Attempts", String(operation.attempts.length)]);
  const ids: [string, string][] = [["Operation id", operation.id]];
  if (operation.kind === "Step") ids.push(["Idempotency key", idempotencyKey(arn, operation.id)]);
  if (operation.callbackId) ids.push(["Callback id", operation.callbackId]);
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
      {ids.map(([name, id]) => (
        <>
          <dt>{name}</dt>
          <dd>
            <code class="id">{id}</code> <Copy text={id} what={name} />
          </dd>
        </>
      ))}
    </dl>
  );
}

/** One event of the operation: when it was, and what it contains. */
function EventBox({ event, now }: { event: HistoryEvent; now: number }) {
  const details = detailsOf(event);
  const retry = details["RetryDetails"] as { CurrentAttempt?: number; NextAttemptDelaySeconds?: number } | undefined;
  const error = payload(details["Error"]) as ErrorObject | undefined;
  const texts = ["Input", "Result", "Reason"].flatMap((member) => {
    const value = payload(details[member]);
    return value === undefined ? [] : [[member, String(value)] as const];
  });
  return (
    <section class="event" aria-label={event.EventType}>
      <h3>
        {words(event.EventType.replace(/([a-z])([A-Z])/g, "$1 $2"))}{" "}
        {retry?.CurrentAttempt && <small>attempt {retry.CurrentAttempt}</small>}{" "}
        <small>
          <Time at={seconds(event.EventTimestamp)} now={now} />
        </small>
      </h3>
      {retry?.NextAttemptDelaySeconds ? <p>The next attempt follows after {duration(retry.NextAttemptDelaySeconds)}.</p> : null}
      {error && <ErrorBox error={error} />}
      {texts.map(([member, text]) => (
        <Payload key={member} title={member} text={text} open />
      ))}
    </section>
  );
}
