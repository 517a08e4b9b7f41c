import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { NexusError } from "../base/errors.ts";
import { openPty } from "../kernel/console-socket.ts";
import type { ExecRequest, ExecSession } from "./driver.ts";
import { execProcess, type OciInput } from "./oci-config.ts";
import { runtimeArguments } from "./oci-launch.ts";
import { readPid } from "./oci-process.ts";
import { type RuntimeCommand, runtimeCall, runtimeEnvironment } from "./supervisor.ts";
import { consoleSocketIn, terminalOf } from "./terminal.ts";

/**
 * Runs a command in a running container. When it cannot be run, what the runtime says comes on stderr, or on the terminal, and the
 * exit code is that of a shell: 127 when it or its directory is not there, 126 when it may not be run.
 */
export async function execIn(input: OciInput, runtime: RuntimeCommand, request: ExecRequest): Promise<ExecSession> {
  const { layout, plan } = input;
  const own = join(layout.directory, `exec-${randomUUID()}`);
  const files = { process: `${own}.json`, pid: `${own}.pid`, log: `${own}.log` };
  writeFileSync(files.process, JSON.stringify(execProcess(input, request)), { mode: 0o600 });
  const call: Call = {
    files,
    command: (extra) =>
      runtimeCall(runtime, [
        ...runtimeArguments(layout, files.log),
        "exec",
        "--process",
        files.process,
        "--pid-file",
        files.pid,
        ...extra,
        plan.id,
      ]),
  };
  if (request.terminal === undefined) return withPipes(call);
  return runtime.program === "runc"
    ? withForegroundTerminal(call, request.terminal)
    : withHandedTerminal(call, layout.directory, request.terminal);
}

type Size = { columns: number; rows: number };
type Call = { files: { process: string; pid: string; log: string }; command(extra: string[]): [string, ...string[]] };

function withPipes(call: Call): ExecSession {
  const [program, ...args] = call.command([]);
  const child = spawn(program, args, { stdio: "pipe", cwd: "/", env: runtimeEnvironment() });
  const stderr = new PassThrough();
  child.stderr.pipe(stderr, { end: false });
  let spoke = false;
  child.stderr.once("data", () => (spoke = true));
  const exitCode = ended(child, call).then(({ code, complaint }) => {
    // Runtimes write into their log what they have said on stderr; only one that could not speak needs us to.
    stderr.end(spoke || complaint === "" ? "" : `${complaint}\n`);
    return code;
  });
  // A command that does not read its input must not break us when it ends.
  child.stdin.on("error", () => undefined);
  return { stdin: child.stdin, stdout: child.stdout, stderr, resize() {}, kill: (signal) => kill(call, child, signal), exitCode };
}

/** crun hands the terminal it makes inside over to us: nothing is copied, and a change of size reaches the command itself. */
async function withHandedTerminal(call: Call, directory: string, size: Size): Promise<ExecSession> {
  using socket = consoleSocketIn(directory, `${randomUUID()}.tty`);
  const [program, ...args] = call.command(["--console-socket", socket.path]);
  const child = spawn(program, args, { stdio: "pipe", cwd: "/", env: runtimeEnvironment() });
  const exit = ended(child, call);
  const gone = new AbortController();
  void exit.then(({ code, complaint }) =>
    gone.abort(new NexusError("runtime-failed", `the command did not start (${code}): ${complaint}`)),
  );
  try {
    const terminal = terminalOf(await socket.receive({ timeoutMs: 10_000, signal: gone.signal }));
    terminal.resize(size.columns, size.rows);
    return { ...terminal, stderr: undefined, kill: (signal) => kill(call, child, signal), exitCode: exit.then(({ code }) => code) };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/**
 * runc hands terminals over only for commands it does not wait for, whose exit status is lost. So it runs in the foreground
 * of a terminal of ours, makes another inside, and passes everything between the two.
 */
function withForegroundTerminal(call: Call, size: Size): ExecSession {
  const [program, ...args] = call.command([]);
  const pty = openPty();
  const terminal = terminalOf(pty.controller);
  // What is typed before the runtime has set its side up must not be echoed by both.
  terminal.setRaw();
  terminal.resize(size.columns, size.rows);
  using peer = pty.peer;
  const child = spawn(program, args, {
    stdio: [peer.number, peer.number, peer.number],
    cwd: "/",
    env: runtimeEnvironment(),
    detached: true,
  });
  // What it complains of it says on its terminal; one that is not there cannot.
  child.once("error", (error) => terminal.stdout.write(`${error.message}\r\n`));
  return {
    ...terminal,
    stderr: undefined,
    resize(columns, rows) {
      terminal.resize(columns, rows);
      // It is nobody's controlling terminal, so the kernel tells no one.
      child.kill("SIGWINCH");
    },
    kill: (signal) => kill(call, child, signal),
    exitCode: ended(child, call).then(({ code }) => code),
  };
}

/** The command's end, and the runtime's complaint if it could not be run at all. */
function ended(child: ChildProcess, { files }: Call): Promise<{ code: number; complaint: string }> {
  return new Promise((resolve) => {
    let failed = "";
    child.on("error", (error) => (failed = error.message));
    child.on("close", (code, signal) => {
      const complaint = failed || complaintsIn(files.log);
      for (const path of Object.values(files)) rmSync(path, { force: true });
      if (code === null) resolve({ code: signal === null ? 127 : 128 + (constants.signals[signal] ?? 0), complaint });
      else resolve({ code: complaint !== "" && refusals.has(code) ? codeFor(complaint) : code, complaint });
    });
  });
}

/** What runtimes end with when they did not run the command, as the command itself may; only their log tells which it was. */
const refusals: ReadonlySet<number> = new Set([1, 255]);

/** As POSIX has it for shells (2.8.2 Exit Status for Commands). */
function codeFor(complaint: string): 126 | 127 {
  return /no such file or directory|not found/i.test(complaint) ? 127 : 126;
}

function kill(call: Call, child: ChildProcess, signal: NodeJS.Signals): void {
  // The runtime is the command's parent: while it has not been reaped, the number in the file means the command.
  const pid = child.exitCode === null && child.signalCode === null ? readPid(call.files.pid) : undefined;
  try {
    if (pid === undefined) child.kill(signal);
    else process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}

/** The errors of a runtime's log; its warnings did not keep it from running the command. */
function complaintsIn(log: string): string {
  try {
    return readFileSync(log, "utf8")
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { msg?: unknown; level?: unknown }]))
      .flatMap(({ msg, level }) => (level === undefined || level === "error" || level === "fatal" ? [String(msg ?? "")] : []))
      .join("; ");
  } catch {
    return "";
  }
}
