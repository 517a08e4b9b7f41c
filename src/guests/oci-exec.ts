import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { NexusError } from "../base/errors.ts";
import type { ExecRequest, ExecSession } from "./driver.ts";
import { execProcess, type OciInput } from "./oci-config.ts";
import { runtimeArguments } from "./oci-launch.ts";
import { readPid } from "./oci-process.ts";
import { type RuntimeCommand, runtimeCall, runtimeEnvironment } from "./supervisor.ts";
import { consoleSocketIn, type Terminal, terminalOf } from "./terminal.ts";

/** Runs a command in a running container. @throws NexusError `runtime-failed` when a terminal was asked for and none came */
export async function execIn(input: OciInput, runtime: RuntimeCommand, request: ExecRequest): Promise<ExecSession> {
  const { layout, plan } = input;
  const own = `exec-${randomUUID()}`;
  const files = { process: join(layout.directory, `${own}.json`), pid: join(layout.directory, `${own}.pid`), log: join(layout.directory, `${own}.log`) };
  writeFileSync(files.process, JSON.stringify(execProcess(input, request)), { mode: 0o600 });
  const call = { own, files, start: (extra: string[]) => spawnCall(runtime, [...runtimeArguments(layout, files.log), "exec", "--process", files.process, "--pid-file", files.pid, ...extra, plan.id]) };
  return request.terminal === undefined ? withPipes(call) : withTerminal(call, layout.directory, request.terminal);
}

type Call = { own: string; files: { process: string; pid: string; log: string }; start(extra: string[]): ChildProcessWithoutNullStreams };

function withPipes(call: Call): ExecSession {
  const child = call.start([]);
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

async function withTerminal(call: Call, directory: string, size: { columns: number; rows: number }): Promise<ExecSession> {
  using socket = consoleSocketIn(directory, `${call.own}.tty`);
  const child = call.start(["--console-socket", socket.path]);
  const exit = ended(child, call);
  const gone = new AbortController();
  void exit.then(({ code, said }) => gone.abort(new NexusError("runtime-failed", `the command did not start (${code}): ${said}`)));
  let terminal: Terminal;
  try {
    terminal = terminalOf(await socket.receive({ timeoutMs: terminalDeadlineMs, signal: gone.signal }));
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  terminal.resize(size.columns, size.rows);
  return { ...terminal, stderr: undefined, kill: (signal) => kill(call, child, signal), exitCode: exit.then(({ code }) => code) };
}

const terminalDeadlineMs = 10_000;

function spawnCall(runtime: RuntimeCommand, args: string[]): ChildProcessWithoutNullStreams {
  const [program = runtime.program, ...words] = runtimeCall(runtime, args);
  return spawn(program, words, { stdio: "pipe", cwd: "/", env: runtimeEnvironment() });
}

/** The command's end, and the runtime's complaint if it could not be run at all. */
function ended(child: ChildProcessWithoutNullStreams, { files }: Call): Promise<{ code: number; said: string }> {
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

function kill(call: Call, child: ChildProcessWithoutNullStreams, signal: NodeJS.Signals): void {
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
