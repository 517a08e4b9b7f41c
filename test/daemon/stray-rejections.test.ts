import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const source = join(import.meta.dirname, "../../src/daemon/stray-rejections.ts");

/** A process of its own: the test runner watches for rejections itself. */
function run(script: string): { status: number | null; lines: string[] } {
  const whole = `const { logStrayRejections } = await import(${JSON.stringify(source)});
    const log = { error: (fields, message) => console.log(JSON.stringify({ ...fields, message })) };
    ${script}
    setTimeout(() => console.log("still here"), 20);`;
  const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", whole], { encoding: "utf8", timeout: 60_000 });
  return { status, lines: stdout.trimEnd().split("\n") };
}

test("work that nobody waited for and that fails is logged with its stack, and the process carries on", () => {
  const failing = `async function probe() { throw new TypeError("broken", { cause: new Error("below") }); } void probe();`;
  const { status, lines } = run(`logStrayRejections(log); ${failing} Promise.reject("words");`);
  assert.deepEqual([status, lines.length, lines[2]], [0, 3, "still here"]);
  const [first, second] = lines.slice(0, 2).map((line) => JSON.parse(line) as { error: string; message: string });
  assert.match(first?.error ?? "", /^TypeError: broken\n +at probe [^]*\ncaused by Error: below\n +at probe/);
  assert.match(first?.message ?? "", /^a defect: .* carries on$/);
  assert.equal(second?.error, "words");
  assert.equal(run(`logStrayRejections(log)[Symbol.dispose](); ${failing}`).status, 1, "without it the process ends");
});
