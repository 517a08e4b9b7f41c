import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createUserBubblewrapDriver } from "../../src/guests/bubblewrap-user.ts";
import type { SandboxEgress, SandboxPlan } from "../../src/guests/sandbox.ts";
import { text } from "./oci-bed.ts";

/** Run as an ordinary user: makes sandboxes as that one and prints what came of it, as JSON. */
const [home, wanted] = process.argv.slice(2) as [string, string];
const scripts = JSON.parse(wanted) as {
  script: string;
  egress: "none" | "proxy";
  limits?: Partial<SandboxPlan["limits"]>;
  terminal?: boolean;
  /** With its sh. */
  root?: string;
}[];
const source = join(home, "workspace");
for (const name of ["workspace", "driver"]) mkdirSync(join(home, name), { recursive: true });
writeFileSync(join(home, "secret"), "secret");
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
await using driver = createUserBubblewrapDriver({ directory: join(home, "driver") });
const check = await driver.check();
const outcomes: unknown[] = [];
for (const [index, { script, egress, limits, terminal, root }] of scripts.entries()) {
  const way: SandboxEgress =
    egress === "none" ? { kind: "none" } : { kind: "proxy", port: 9080, serve: (connection) => connection.end("from outside\n") };
  const plan: SandboxPlan = {
    id: `run-${index}`,
    command: [root === undefined ? "bash" : "sh", "-c", script],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/workspace",
    workspace: { source, target: "/workspace", owner },
    limits: { memoryBytes: 256 << 20, cpus: 1, pids: 50, openFiles: 128, scratchBytes: 8 << 20, ...limits },
    egress: way,
    directory: home,
    ...(root === undefined ? {} : { root: { lower: root } }),
    ...(terminal === true ? { terminal: { columns: 80, rows: 24 } } : {}),
  };
  await using sandbox = await driver.start(plan, AbortSignal.timeout(60_000));
  if (terminal !== true) sandbox.stdin.end();
  const [stdout, stderr, exit] = await Promise.all([
    text(sandbox.stdout),
    sandbox.stderr === undefined ? "" : text(sandbox.stderr),
    sandbox.exit,
  ]);
  outcomes.push({ stdout, stderr, exit, limitedBy: sandbox.limitedBy });
}
console.log(JSON.stringify({ check, outcomes }));
