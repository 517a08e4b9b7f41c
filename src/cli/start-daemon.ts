import { spawn } from "node:child_process";
import { chmodSync, closeSync, fstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { daemonLogName } from "../api/places.ts";
import { NexusError } from "../base/errors.ts";

export type DaemonStart = {
  socketPath: string;
  /** Its log is there. */
  stateDir: string;
  /** Further arguments of nexusd. */
  args: readonly string[];
  deadlineMs?: number;
  /** What runs instead of nexusd; for tests of this function. */
  command?: readonly [string, ...string[]];
};

const pollMs = 15;
/** A first start compiles all sources: seconds on a fast machine, half a minute on a slow one. */
const patienceMs = 60_000;

/**
 * Starts nexusd detached from this terminal and waits until it serves its socket.
 * @throws NexusError daemon-unreachable with the end of what it logged; not-permitted when its log cannot be written
 */
export async function startDaemon(start: DaemonStart): Promise<void> {
  const log = openLog(join(start.stateDir, daemonLogName));
  const deadline = performance.now() + (start.deadlineMs ?? patienceMs);
  const child = launch(start, log);
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
  throw new NexusError("daemon-unreachable", [`nexusd ${how}`, ...linesSince(log, 5)].join("\n"), {
    hint: `its log is ${log.path}; \`nexusd\` in the foreground shows it as it happens`,
  });
}

/** Whether something accepts connections on a unix socket. */
export async function listensOn(path: string): Promise<boolean> {
  return (await tryConnecting(path)) === undefined;
}

/** Undefined when something accepts connections on a unix socket, else why not. */
export async function tryConnecting(path: string): Promise<unknown> {
  const socket = connect(path);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(1000) });
    return undefined;
  } catch (error) {
    return error;
  } finally {
    socket.destroy();
  }
}

/** A log and how much of it was there before. */
type Log = { path: string; fd: number; before: number };

/** In the daemon's state directory, made as the daemon makes it: nobody else's to read. */
function openLog(path: string): Log {
  try {
    const directory = dirname(path);
    if (mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(directory, 0o700);
    const fd = openSync(path, "a", process.getuid?.() === 0 ? 0o640 : 0o600);
    return { path, fd, before: fstatSync(fd).size };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    throw new NexusError("not-permitted", `this user may not start the daemon: ${path} cannot be written (${code})`, {
      hint: "start it as root: `sudo nexus daemon start`",
      cause: error,
    });
  }
}

function launch(start: DaemonStart, log: Log) {
  try {
    const [program, ...fixed] = start.command ?? [join(import.meta.dirname, "../../nexusd")];
    return spawn(program, [...fixed, "--socket", start.socketPath, ...start.args], {
      detached: true,
      cwd: "/",
      stdio: ["ignore", log.fd, log.fd],
    });
  } finally {
    closeSync(log.fd);
  }
}

/** The last lines written since the log was opened. */
function linesSince(log: Log, count: number): string[] {
  try {
    const written = readFileSync(log.path).subarray(log.before).toString("utf8").trimEnd();
    return written === "" ? [] : written.split("\n").slice(-count);
  } catch {
    return [];
  }
}
