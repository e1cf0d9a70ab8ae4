import { useEffect, useState } from "preact/hooks";
import { about, ApiFailure, connection, home, signIn } from "../api.ts";
import { href, route } from "../route.ts";
import { useWatched } from "../watched.ts";
import { Dialog, Failure, useKeys } from "./common.tsx";
import { CompareView } from "./compare.tsx";
import { ExecutionView } from "./execution.tsx";
import { ListView } from "./list.tsx";
import { ReplayView } from "./replay.tsx";

const TOKEN = "token=";

export function App() {
  const state = useWatched(connection);
  const found = useWatched(home);
  const [error, setError] = useState<unknown>();
  const [help, setHelp] = useState(false);
  useKeys((key) => key === "?" && (setHelp(true), true));
  useEffect(() => {
    void begin();
  }, []);

  async function begin() {
    const fragment = location.hash.slice(1);
    if (fragment.startsWith(TOKEN)) {
      history.replaceState(null, "", href("executions")); // the token leaves the address before anything else
      route.set({ page: "executions", query: new URLSearchParams() });
      await enter(decodeURIComponent(fragment.slice(TOKEN.length)));
    } else {
      await look();
    }
  }

  async function enter(token: string) {
    try {
      await signIn(token);
    } catch (failure) {
      setError(failure);
      if (failure instanceof ApiFailure && failure.code === "UnauthorizedException") return;
    }
    await look();
  }

  async function look() {
    try {
      await about();
      setError(undefined);
    } catch (failure) {
      if (!(failure instanceof ApiFailure && failure.code === "UnauthorizedException")) setError(failure);
    }
  }

  const signedOut = state === "signed out";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to content
      </a>
      <header class="bar">
        <a class="brand" href={href("executions")}>
          Executions
        </a>
        <span class="place">{found && `of ${found.place}`}</span>
        <span class={`connection ${state === "lost" ? "lost" : ""}`} role="status">
          {state === "lost" ? "Connection lost. Trying again …" : ""}
        </span>
        <button type="button" class="small" onClick={() => setHelp(true)}>
          Keys
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {signedOut ? <SignIn onToken={enter} /> : found && <View />}
        <Failure error={error} />
      </main>
      {help && <Keys onClose={() => setHelp(false)} />}
    </>
  );
}

function View() {
  const { page, query } = useWatched(route);
  const arn = query.get("arn") ?? "";
  useEffect(() => {
    document.title = page === "execution" ? `${arn.split("/").at(-2) ?? arn} – execution` : "Executions";
  }, [page, arn]);
  switch (page) {
    case "execution":
      return <ExecutionView key={arn} arn={arn} />;
    case "compare":
      return <CompareView key={query.toString()} left={query.get("left") ?? ""} right={query.get("right") ?? ""} />;
    case "replay":
      return <ReplayView key={arn} arn={arn} />;
    default:
      return <ListView />;
  }
}

function SignIn({ onToken }: { onToken: (token: string) => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
    onToken(field.value.trim());
    field.value = "";
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      <h1>Sign in</h1>
      <p>The page needs the token that the service or the command was started with.</p>
      <label>
        Token <input name="token" type="password" autocomplete="off" required />
      </label>
      <button type="submit">Sign in</button>
    </form>
  );
}

const KEYS: [string, string][] = [
  ["j, k", "next and previous row"],
  ["Enter", "open the row"],
  ["x", "select the row, in the list"],
  ["Space, o", "fold or open a group, in the timeline"],
  ["/", "search"],
  ["Escape", "close the detail, leave the search, or go back to the list"],
  ["?", "this help"],
];

function Keys({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="facts">
        {KEYS.map(([key, meaning]) => (
          <>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </Dialog>
  );
}
