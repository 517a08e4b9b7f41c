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

/** Runs a command in a running container. What the runtime says when it cannot comes on stderr, or on the terminal. */
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
  const exitCode = ended(child, call).then(({ code, said }) => {
    stderr.end(said === "" ? "" : `${said}\n`);
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
  void exit.then(({ code, said }) => gone.abort(new NexusError("runtime-failed", `the command did not start (${code}): ${said}`)));
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
  const exitCode = ended(child, call).then(({ code, said }) => {
    if (said !== "" && !terminal.stdout.writableEnded) terminal.stdout.write(`${said}\r\n`);
    return code;
  });
  return {
    ...terminal,
    stderr: undefined,
    resize(columns, rows) {
      terminal.resize(columns, rows);
      // It is nobody's controlling terminal, so the kernel tells no one.
      child.kill("SIGWINCH");
    },
    kill: (signal) => kill(call, child, signal),
    exitCode,
  };
}

/** The command's end, and the runtime's complaint if it could not be run at all. */
function ended(child: ChildProcess, { files }: Call): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    let failed = "";
    child.on("error", (error) => (failed = error.message));
    child.on("close", (code, signal) => {
      const said = failed || complaints(files.log);
      for (const path of Object.values(files)) rmSync(path, { force: true });
      resolve({ code: code ?? (signal === null ? 127 : 128 + (constants.signals[signal] ?? 0)), said });
    });
  });
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

function complaints(log: string): string {
  try {
    return readFileSync(log, "utf8")
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [String((JSON.parse(line) as { msg?: unknown }).msg ?? "")]))
      .join("; ");
  } catch {
    return "";
  }
}
