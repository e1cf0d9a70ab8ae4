// Builds the page's files into the package. With --check it only compares them with what is there; with --tests it
// builds the tests of the pure parts into .tests/.
import { build } from "esbuild";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";

const OUT = "../static";
const shared = { bundle: true, target: "es2022", jsx: "automatic", jsxImportSource: "preact", logLevel: "warning" };

async function tests() {
  const names = (await readdir("test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: names.map((name) => `test/${name}`),
    outdir: ".tests",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
  });
}

/** The content of each file, by name. */
async function page() {
  const options = { entryPoints: { app: "src/main.tsx" }, outdir: "out", minify: true, format: "esm" };
  const { outputFiles } = await build({ ...shared, ...options, legalComments: "eof", write: false });
  const files = new Map(outputFiles.map(({ path, contents }) => [path.split("/").at(-1), Buffer.from(contents)]));
  for (const name of ["index.html", "icon.svg"]) files.set(name, await readFile(`src/${name}`));
  return files;
}

if (process.argv.includes("--tests")) {
  await tests();
} else if (process.argv.includes("--check")) {
  const files = await page();
  const there = await readdir(OUT);
  const differs = there.filter((name) => !files.has(name));
  for (const [name, content] of files) {
    if (!there.includes(name) || !content.equals(await readFile(`${OUT}/${name}`))) differs.push(name);
  }
  if (differs.length > 0) {
    console.error(`Not built from these sources: ${differs.join(", ")}. Run nox -s ui, and commit what it builds.`);
    process.exit(1);
  }
} else {
  await mkdir(OUT, { recursive: true });
  for (const [name, content] of await page()) await writeFile(`${OUT}/${name}`, content);
}
