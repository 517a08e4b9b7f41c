import { createBubblewrapDriver } from "../../src/guests/bubblewrap.ts";
import { NamespaceStock } from "../../src/kernel/namespace-stock.ts";

/** Stands for a daemon that is going to be killed: starts a sandbox whose command has left its parents, and stays. */
const [parent, directory, source] = process.argv.slice(2) as [string, string, string];
const driver = createBubblewrapDriver({ namespaces: new NamespaceStock(), cgroupParent: parent });
const name = `of-${process.pid}`;
await driver.start(
  {
    id: "run",
    command: ["sh", "-c", `(setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' ${name} &); exec tail -f /dev/null ${name}`],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/workspace",
    workspace: { source, target: "/workspace", owner: { uid: 0, gid: 0 } },
    limits: { memoryBytes: 64 << 20, cpus: 1, pids: 20, openFiles: 64, scratchBytes: 1 << 20 },
    egress: { kind: "none" },
    directory,
  },
  AbortSignal.timeout(30_000),
);
setInterval(() => undefined, 1000);
