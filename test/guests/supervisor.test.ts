import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { defaultLogLimits, type LogLimits } from "../../src/guests/guest-log.ts";
import { layoutOf } from "../../src/guests/oci-layout.ts";
import { readExit, supervise, supervisorPid } from "../../src/guests/supervisor.ts";

/** A shell script in a runtime's place, run to its end. */
async function supervised(t: TestContext, script: string, log: LogLimits = defaultLogLimits) {
  const layout = layoutOf(mkdtempSync(join(tmpdir(), "nexus-supervisor-")));
  t.after(() => rmSync(layout.directory, { recursive: true, force: true }));
  supervise(layout, { program: "/bin/sh" }, { args: ["-c", script], log });
  const end = performance.now() + 10_000;
  while (readExit(layout) === undefined && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  return { layout, code: readExit(layout)?.code };
}

test("the exit status is the program's, and comes after the last of its output on both streams", async (t) => {
  const { layout, code } = await supervised(t, "echo out; echo err >&2; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last; exit 42");
  assert.equal(code, 42);
  const log = readFileSync(layout.log, "utf8");
  assert.ok(log.startsWith("out\nerr\n") && log.endsWith("x\nlast\n") && log.length === 300_014, `${log.length} bytes`);
});

test("a program that is not there is told of in the log, with the status of a shell", async (t) => {
  const { layout, code } = await supervised(t, "exec /no/such/program");
  assert.equal(code, 127);
  assert.match(readFileSync(layout.log, "utf8"), /no\/such\/program/);
});

test("a full log is put aside whole, the oldest parts go, and no byte is lost on the way", async (t) => {
  const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join("");
  const script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
  const { layout } = await supervised(t, script, { maxBytes: 64 * 1024, keep: 9 });
  const parts = readdirSync(layout.directory)
    .filter((name) => /^log(\.\d)?$/.test(name))
    .toSorted()
    .reverse();
  assert.ok(parts.includes("log.2"), parts.join(" "));
  const kept = [...parts.filter((name) => name !== "log"), "log"]
    .filter((name) => existsSync(join(layout.directory, name)))
    .map((name) => readFileSync(join(layout.directory, name), "utf8"))
    .join("");
  assert.equal(kept, lines);
  const few = await supervised(t, script, { maxBytes: 16 * 1024, keep: 2 });
  assert.deepEqual(
    readdirSync(few.layout.directory)
      .filter((name) => name.startsWith("log"))
      .map((name) => statSync(join(few.layout.directory, name)).size <= 2 * 16 * 1024),
    [true, true, true].slice(0, existsSync(few.layout.log) ? 3 : 2),
  );
});

test("a supervisor whose directory is removed ends", async (t) => {
  const layout = layoutOf(mkdtempSync(join(tmpdir(), "nexus-supervisor-")));
  t.after(() => rmSync(layout.directory, { recursive: true, force: true }));
  supervise(
    layout,
    { program: "/bin/sh" },
    { args: ["-c", "while [ -e config.json ] || [ -e supervisor ]; do echo x; done"], log: defaultLogLimits },
  );
  const end = performance.now() + 10_000;
  let pid: number | undefined;
  while ((pid = supervisorPid(layout)) === undefined && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(pid !== undefined);
  // It writes there meanwhile.
  rmSync(layout.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 5 });
  while (existsSync(`/proc/${pid}/exe`) && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(existsSync(`/proc/${pid}/exe`), false);
});
