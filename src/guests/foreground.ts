import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { PassThrough, type Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { type CgroupHost, killCgroup, memoryEvents, removeCgroup, removeEmptyCgroup } from "../kernel/cgroups.ts";
import { openPty } from "../kernel/console-socket.ts";
import { endsWithUs, killedWithUs } from "./ends-with-us.ts";
import type { SandboxExit, SandboxPlan, SandboxProcess } from "./sandbox.ts";
import { runtimeEnvironment } from "./supervisor.ts";
import { consoleSocketIn, terminalOf } from "./terminal.ts";

/** `words` is what to say on stderr when the command could not be found or run; then the code is a shell's. */
export type Judgement = { code: number; words?: string } | { refused: string };

/** A container program run as our child, so that the streams of the command it runs are ours. All of it ends with this process. */
export type Foreground = {
  plan: SandboxPlan;
  /** Of the program. With a path it hands the terminal it makes over there; without, it uses the one it has. */
  command: (consoleSocket: string | undefined) => [string, ...string[]];
  handsTerminalOver: boolean;
  /** Added to the program's own environment. */
  env?: Record<string, string>;
  cgroups: CgroupHost;
  /** Everything it starts is below this group. */
  cgroup: string;
  /** The groups of the command alone, when helpers of the program are below `cgroup` too: those must live to tell of its end. */
  commandGroups?: () => string[];
  /** Pid of the command, once it runs its program. */
  findCommand: () => number | undefined;
  /** What the program's exit status says, and the first of what came on stderr: the command's own, or why there was none. */
  judge: (code: number, said: string) => Judgement;
  /** Removes what the driver made. May be called again. */
  remove: () => Promise<void>;
  deadlineMs: number;
};

/**
 * Starts it, and waits until the command runs its program or has ended already.
 * @throws NexusError `runtime-failed`, `timeout`: then nothing is left, the cgroup included
 */
export async function runForeground(run: Foreground, signal: AbortSignal): Promise<SandboxProcess> {
  let ending: Promise<void> | undefined;
  let left: Promise<unknown> = Promise.resolve();
  const held = new DisposableStack();
  const end = (): Promise<void> => (ending ??= endRun({ ...run, left }).finally(() => held.dispose()));
  try {
    signal.throwIfAborted();
    held.use(await endsWithUs(run.cgroups, run.cgroup));
    const { child, streams, said, isUp } = run.plan.terminal === undefined ? withPipes(run) : await withTerminal(run, run.plan.terminal);
    let up = false;
    const exit = exitOf(run, { child, said, isUp: () => up });
    left = exit;
    // Whoever waits for the start is told; whoever waits for the end came after that.
    exit.catch(() => undefined);
    up = await untilUp(run, { exit, signal });
    if (up) isUp?.();
    return {
      ...streams,
      signal(name) {
        const pid = child.exitCode === null && child.signalCode === null ? run.findCommand() : undefined;
        if (pid !== undefined) send(pid, name);
      },
      kill: () => killCommand(run),
      exit,
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Kills what is in the group, then removes it and what the driver made. `left` settles when the program has ended. */
export async function endRun(run: Ending & { left?: Promise<unknown> }): Promise<void> {
  await killCommand(run);
  if (run.commandGroups !== undefined) await Promise.race([run.left, delay(handOverMs)]).catch(() => undefined);
  await run.remove();
  await killCgroup(run.cgroups, run.cgroup);
  removeCgroup(run.cgroups, run.cgroup);
  removeEmptyCgroup(run.cgroups, run.cgroup.slice(0, run.cgroup.lastIndexOf("/")));
}

type Ending = Pick<Foreground, "cgroups" | "cgroup" | "commandGroups" | "remove">;

async function killCommand({ cgroups, cgroup, commandGroups }: Ending): Promise<void> {
  await Promise.all((commandGroups?.() ?? [cgroup]).map((path) => killCgroup(cgroups, path)));
}

/** What a program may take to clear up behind a command that was killed. */
const handOverMs = 5000;

type Started = {
  child: ChildProcess;
  said: () => string;
  streams: Pick<SandboxProcess, "stdin" | "stdout" | "stderr" | "resize">;
  /** What comes on stderr from here on is the command's. */
  isUp?: () => void;
};

function withPipes(run: Foreground): Started {
  const [program, ...args] = killedWithUs(run.command(undefined));
  const child = spawn(program, args, { stdio: "pipe", cwd: "/", env: environmentOf(run) });
  // A command that does not read its input must not break us when it ends.
  child.stdin.on("error", () => undefined);
  // A child's own streams lose what nobody has begun to read when it ends.
  const [stdout, stderr] = [child.stdout.pipe(new PassThrough()), new PassThrough()];
  let said = "";
  // The program's own words about a command it cannot run are told in ours, so they wait until it is known whose they are.
  const held = child.stderr.pipe(new PassThrough({ highWaterMark: 4 * mostHeld }));
  let released = false;
  const isUp = (): void => {
    if (!released) held.pipe(stderr);
    released = true;
  };
  let bytesSaid = 0;
  child.stderr.on("data", (bytes: Buffer) => {
    if (said.length < 2000) said += bytes.toString().slice(0, 2000);
    if ((bytesSaid += bytes.length) > mostHeld) isUp();
  });
  child.once("error", () => stderr.end());
  child.once("close", (code) => {
    const judged = run.judge(code ?? 1, said);
    if ("words" in judged && !released) stderr.end(`${judged.words}\n`);
    else isUp();
  });
  return { child, said: () => said, streams: { stdin: child.stdin, stdout, stderr, resize() {} }, isUp };
}

/** Bytes. No program says so much of itself. */
const mostHeld = 65_536;

async function withTerminal(run: Foreground, size: { columns: number; rows: number }): Promise<Started> {
  if (!run.handsTerminalOver) return withOwnTerminal(run, size);
  using socket = consoleSocketIn(run.plan.directory, "tty");
  const [program, ...args] = killedWithUs(run.command(socket.path));
  const child = spawn(program, args, { stdio: "ignore", cwd: "/", env: environmentOf(run) });
  const gone = new AbortController();
  const refuse = (): void => gone.abort(refusal(run, "it made no terminal"));
  child.once("exit", (code) => gone.abort(refusal(run, refusedWords(run, code ?? 1))));
  child.once("error", refuse);
  const terminal = terminalOf(await socket.receive({ timeoutMs: run.deadlineMs, signal: gone.signal }));
  terminal.resize(size.columns, size.rows);
  return { child, said: nothing, streams: streamsOf(terminal) };
}

/** The program gets one end as its own terminal and passes everything between that and the one it makes inside. */
function withOwnTerminal(run: Foreground, size: { columns: number; rows: number }): Started {
  const pty = openPty();
  const terminal = terminalOf(pty.controller);
  terminal.setRaw();
  terminal.resize(size.columns, size.rows);
  using peer = pty.peer;
  const [program, ...args] = killedWithUs(run.command(undefined));
  const stdio = [peer.number, peer.number, peer.number];
  const child = spawn(program, args, { stdio, cwd: "/", env: environmentOf(run), detached: true });
  const resize = (columns: number, rows: number): void => {
    terminal.resize(columns, rows);
    // It is nobody's controlling terminal, so the kernel tells no one.
    child.kill("SIGWINCH");
  };
  return { child, said: nothing, streams: { ...streamsOf(terminal), resize } };
}

const nothing = (): string => "";

function streamsOf(terminal: ReturnType<typeof terminalOf>): Started["streams"] {
  return { stdin: terminal.stdin as Writable, stdout: terminal.stdout, stderr: undefined, resize: terminal.resize };
}

/** Rejects when the program ended without having run the command. */
async function exitOf(
  run: Foreground,
  { child, said, isUp }: Pick<Started, "child" | "said"> & { isUp: () => boolean },
): Promise<SandboxExit> {
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", (error) => reject(refusal(run, error.message)));
    child.once("exit", (status, signal) => resolve(status ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 9)));
  });
  const memory = memoryEvents(run.cgroups, run.cgroup);
  // What left its session and parents did not leave the group.
  await killCommand(run);
  // The program's last words may come after its end; nothing is left that could hold the pipes open for long.
  if (code >= 125) await Promise.race([closed, delay(1000)]);
  const judged = isUp() ? { code } : run.judge(code, said());
  if ("refused" in judged) throw refusal(run, judged.refused);
  const killed = signalOf(judged.code);
  const outOfMemory = memory.oomKills > 0 || (killed === "SIGKILL" && memory.limitReached);
  return { code: judged.code, ...(killed === undefined ? {} : { signal: killed }), outOfMemory };
}

/** False when it has ended already. */
async function untilUp(run: Foreground, seen: { exit: Promise<SandboxExit>; signal: AbortSignal }): Promise<boolean> {
  const deadline = performance.now() + run.deadlineMs;
  while (run.findCommand() === undefined) {
    // Between the pid file and the program's execve lie a millisecond or two, and nothing to wait on.
    if ((await Promise.race([seen.exit, delay(1)])) !== undefined) return false;
    seen.signal.throwIfAborted();
    if (performance.now() > deadline) throw new NexusError("timeout", `run ${run.plan.id} was not up within ${run.deadlineMs} ms`);
  }
  return true;
}

function refusedWords(run: Foreground, code: number): string {
  const judged = run.judge(code, "");
  if ("refused" in judged) return judged.refused;
  return judged.words ?? `it ended with ${judged.code} before there was a terminal`;
}

function refusal(run: Foreground, words: string): NexusError {
  return new NexusError("runtime-failed", `run ${run.plan.id} could not be started: ${words}`);
}

function signalOf(code: number): NodeJS.Signals | undefined {
  return (Object.entries(constants.signals) as [NodeJS.Signals, number][]).find(([, number]) => number === code - 128)?.[0];
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}

function environmentOf(run: Foreground): Record<string, string> {
  return { ...runtimeEnvironment(), ...run.env };
}
