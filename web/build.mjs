// Builds the page's files into the package, or with --tests the tests of its pure parts into .tests/.
import { build } from "esbuild";
import { copyFile, mkdir, readdir } from "node:fs/promises";

const OUT = "../durable_async/ui/static";
const shared = { bundle: true, target: "es2022", jsx: "automatic", jsxImportSource: "preact", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  const names = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: names.map((name) => `test/${name}`),
    outdir: ".tests",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
  });
} else {
  await mkdir(OUT, { recursive: true });
  await build({
    ...shared,
    entryPoints: { app: "src/main.tsx" },
    outdir: OUT,
    minify: true,
    format: "esm",
    legalComments: "eof",
  });
  for (const name of ["index.html", "icon.svg"]) await copyFile(`src/${name}`, `${OUT}/${name}`);
}
