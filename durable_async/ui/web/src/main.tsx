import { render } from "preact";
import { App } from "./views/app.tsx";
import "./app.css";

render(<App />, document.getElementById("app")!);
