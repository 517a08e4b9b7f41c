import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { daemonLogName, systemStateDir } from "../api/places.ts";
import { NexusError } from "../base/errors.ts";

export type DaemonStart = {
  socketPath: string;
  stateDir?: string;
  /** Further arguments of nexusd. */
  args: readonly string[];
  deadlineMs?: number;
  /** What runs instead of nexusd; for tests of this function. */
  command?: readonly [string, ...string[]];
};

const pollMs = 15;

/** Starts nexusd detached from this terminal and waits until it serves its socket. @throws NexusError daemon-unreachable with the end of its log */
export async function startDaemon(start: DaemonStart): Promise<void> {
  const logPath = join(start.stateDir ?? systemStateDir, daemonLogName);
  const deadline = performance.now() + (start.deadlineMs ?? 15_000);
  const child = launch(start, logPath);
  let ended: string | undefined;
  child.on("exit", (code, signal) => (ended = signal === null ? `ended with code ${code}` : `was ended by ${signal}`));
  child.on("error", (error) => (ended = `could not be started: ${error.message}`));
  // Another caller may have started one at the same moment; ours then gives way, and theirs answers soon.
  let patienceAfterEnd = 20;
  while (performance.now() < deadline) {
    if (await listensOn(start.socketPath)) {
      child.unref();
      return;
    }
    if (ended !== undefined && patienceAfterEnd-- === 0) break;
    await delay(pollMs);
  }
  child.unref();
  const how = ended ?? `did not open ${start.socketPath} in time`;
  const last = lastLines(logPath, 5);
  throw new NexusError("daemon-unreachable", [`nexusd ${how}`, ...last].join("\n"), {
    hint: `its log is ${logPath}; \`nexusd\` in the foreground shows it as it happens`,
  });
}

/** Whether something accepts connections on a unix socket. */
export async function listensOn(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(1000) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

function launch(start: DaemonStart, logPath: string) {
  mkdirSync(dirname(logPath), { recursive: true, mode: 0o755 });
  const log = openSync(logPath, "a", 0o640);
  try {
    const [program, ...fixed] = start.command ?? [join(import.meta.dirname, "../../nexusd")];
    return spawn(program, [...fixed, "--socket", start.socketPath, ...start.args], {
      detached: true,
      cwd: "/",
      stdio: ["ignore", log, log],
    });
  } finally {
    closeSync(log);
  }
}

function lastLines(path: string, count: number): string[] {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-count);
  } catch {
    return [];
  }
}
