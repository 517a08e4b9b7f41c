import { randomUUID } from "node:crypto";
import { dirname } from "node:path/posix";
import { PassThrough, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import type { ExecRequest, ExecSession } from "./driver.ts";
import { openGuestFile, readPiece, writeGuestFile, writePiece } from "./qga-files.ts";
import type { GuestAgent } from "./qga.ts";
import { UntilMark } from "./until-mark.ts";
import type { JsonObject } from "./qmp-lines.ts";

/**
 * Runs a command in a guest by its agent. The agent itself gives output only at the end, so a small shell in the guest cuts it into
 * numbered files below /tmp that are fetched as they come; it waits while many are not fetched yet. The exit code is that of a
 * shell: 127 when the command is not there. It ends with the command, and so does its output: what a process it left behind writes later
 * is not waited for, and by then has nobody to read it. `done` is called when the agent is needed no more.
 * @throws NexusError `unsupported` for a terminal; what the agent refused
 */
export async function execByAgent(agent: GuestAgent, request: ExecRequest, done: () => void): Promise<ExecSession> {
  try {
    if (request.terminal !== undefined)
      throw new NexusError("unsupported", "a guest's agent has no terminals to give", { hint: "use `nexus ssh` or `nexus console`" });
    const over = new AbortController();
    const run: Run = { ...(await begin(agent, request)), over: over.signal };
    const [stdout, stderr] = [output(), output()];
    const input = await openInput(agent, run);
    const stdin = inputOf(agent, run, input);
    const exitCode = follow(agent, run, { stdout, stderr }).finally(() => {
      over.abort();
      stdin.destroy();
      void clean(agent, run, input).finally(done);
    });
    // A caller that only reads must not make an unhandled rejection of it.
    exitCode.catch((error: Error) => [stdout, stderr].forEach((stream) => stream.destroy(error)));
    return {
      stdin,
      stdout,
      stderr,
      resize() {},
      kill(signal) {
        shell(agent, killScript, [run.directory, signal.replace(/^SIG/, "")]).catch(() => undefined);
        const graceMs = graces[signal];
        if (graceMs !== undefined) setTimeout(() => over.abort(late(signal, graceMs)), graceMs).unref();
      },
      exitCode,
    };
  } catch (error) {
    done();
    throw error;
  }
}

/** One that nobody listens to must not end the daemon when the guest breaks off. */
function output(): PassThrough {
  return new PassThrough().on("error", () => undefined);
}

/** `over`: it has ended, or is given up. */
type Run = { directory: string; pid: number; over: AbortSignal };

/** Whoever sends these waits no more; a guest that says the command goes on, and sends output without end, is not followed for ever. */
const graces: Partial<Record<NodeJS.Signals, number>> = { SIGKILL: 10_000, SIGHUP: 60_000 };

function late(signal: string, graceMs: number): NexusError {
  return new NexusError("timeout", `the guest has not ended the command within ${graceMs / 1000} s of ${signal}`);
}

async function begin(agent: GuestAgent, request: ExecRequest): Promise<Omit<Run, "over">> {
  const directory = `/tmp/.nexus-exec-${randomUUID()}`;
  const env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
  const pid = await shell(agent, runScript, [directory, request.cwd ?? "", "env", ...env, ...request.command]);
  return { directory, pid };
}

/** Everything of the user's is a positional parameter, never program text. */
async function shell(agent: GuestAgent, script: string, words: readonly string[]): Promise<number> {
  const answer = (await agent.command("guest-exec", { path: "/bin/sh", arg: ["-c", script, "nexus-exec", ...words] })) as JsonObject;
  return Number(answer["pid"]);
}

async function follow(agent: GuestAgent, run: Run, out: { stdout: PassThrough; stderr: PassThrough }): Promise<number> {
  const pumps = [
    new Pieces(agent, { path: `${run.directory}/1`, over: run.over }, out.stdout),
    new Pieces(agent, { path: `${run.directory}/2`, over: run.over }, out.stderr),
  ];
  let pause = shortestPauseMs;
  let quietSince = performance.now();
  let status: JsonObject | undefined;
  for (;;) {
    run.over.throwIfAborted();
    // Asked before the output is fetched: what was written before the end is then surely there.
    // Once told, the end is forgotten by the agent.
    if (status?.["exited"] !== true) status = (await agent.command("guest-exec-status", { pid: run.pid })) as JsonObject;
    let progressed = false;
    for (const pump of pumps) progressed = (await pump.fetch()) || progressed;
    if (progressed || status["exited"] !== true) quietSince = performance.now();
    const isOver = pumps.every((pump) => pump.ended) || performance.now() - quietSince > endMs;
    if (status["exited"] === true && isOver) {
      for (const pump of pumps) pump.end();
      return typeof status["signal"] === "number" ? 128 + status["signal"] : Number(status["exitcode"] ?? 255);
    }
    pause = progressed ? shortestPauseMs : Math.min(longestPauseMs, pause * 1.5);
    if (!progressed) await delay(pause, undefined, { signal: run.over }).catch(() => undefined);
  }
}

/** One of the two outputs, as numbered files. A fetched file is cut to nothing: that tells the guest to go on, and frees its memory. */
class Pieces {
  readonly #agent: GuestAgent;
  readonly #from: { path: string; over: AbortSignal };
  readonly #to: PassThrough;
  readonly #until: UntilMark;
  #next = 0;

  constructor(agent: GuestAgent, from: { path: string; over: AbortSignal }, to: PassThrough) {
    this.#agent = agent;
    this.#from = from;
    this.#until = new UntilMark(endMark(from.path));
    this.#to = to;
  }

  /** All that is there; true when there was any. */
  async fetch(): Promise<boolean> {
    const before = this.#next;
    // What a process left behind writes is not fetched: its queue fills, and it waits.
    while (!this.ended) {
      this.#from.over.throwIfAborted();
      const bytes = await this.#piece(`${this.#from.path}.${this.#next}`);
      if (bytes === undefined) return this.#next > before;
      this.#next++;
      const said = this.#until.take(bytes);
      if (said.length > 0 && !this.#to.write(said)) await drained(this.#to, this.#from.over);
    }
    return this.#next > before;
  }

  /** All that was written before the command ended has come. */
  get ended(): boolean {
    return this.#until.seen;
  }

  end(): void {
    this.#to.end(this.#until.rest());
  }

  async #piece(path: string): Promise<Buffer | undefined> {
    let handle: number;
    try {
      handle = await openGuestFile(this.#agent, { path, mode: "r" });
    } catch (error) {
      if (error instanceof NexusError && error.code === "not-found") return undefined;
      throw error;
    }
    try {
      return (await readPiece(this.#agent, handle, pieceBytes)).bytes;
    } finally {
      await this.#agent.command("guest-file-close", { handle });
      await this.#agent.command("guest-file-close", { handle: await openGuestFile(this.#agent, { path, mode: "w" }) });
    }
  }
}

/**
 * The command's standard input goes in pieces too: a numbered file each, and then a line into a pipe that tells the guest of it. Straight
 * into the pipe it cannot go: what a full pipe does not take, the agent loses. Few pieces are under way at once.
 */
function inputOf(agent: GuestAgent, run: Run, bell: number): Writable {
  let next = 0;
  const send = async (bytes: Buffer): Promise<void> => {
    const oldest = next - piecesUnderWay;
    for (let pause = shortestPauseMs; oldest >= 0 && (await isThere(agent, pieceOf(oldest))); pause = Math.min(longestPauseMs, pause * 1.5))
      await delay(pause, undefined, { signal: run.over });
    await writeGuestFile(agent, pieceOf(next++), bytes);
    await writePiece(agent, bell, Buffer.from("\n"));
    await agent.command("guest-file-flush", { handle: bell });
  };
  const pieceOf = (n: number): string => `${run.directory}/in.${n}`;
  return new Writable({
    async write(bytes: Buffer, _, callback) {
      try {
        for (let at = 0; at < bytes.length; at += pieceBytes) await send(bytes.subarray(at, at + pieceBytes));
        callback();
      } catch (error) {
        callback(error as Error);
      }
    },
    async final(callback) {
      try {
        await agent.command("guest-file-close", { handle: bell });
        callback();
      } catch (error) {
        callback(error as Error);
      }
    },
  }).on("error", () => undefined);
}

async function isThere(agent: GuestAgent, path: string): Promise<boolean> {
  try {
    await agent.command("guest-file-close", { handle: await openGuestFile(agent, { path, mode: "r" }) });
    return true;
  } catch (error) {
    if (error instanceof NexusError && error.code === "not-found") return false;
    throw error;
  }
}

/**
 * The guest's shell waits for its input to have a writer, so it is opened at once; and not given away before the shell has its
 * end too, or closing it early would leave the shell waiting for ever.
 */
async function openInput(agent: GuestAgent, run: Run): Promise<number> {
  const input = await openWhenThere(agent, run, { path: `${run.directory}/in`, mode: "r+" });
  const ready = await openWhenThere(agent, run, { path: `${run.directory}/ready`, mode: "r" });
  await agent.command("guest-file-close", { handle: ready });
  return input;
}

async function openWhenThere(agent: GuestAgent, run: Run, file: { path: string; mode: string }): Promise<number> {
  const end = performance.now() + beginMs;
  for (;;) {
    try {
      return await openGuestFile(agent, file);
    } catch (error) {
      if (!(error instanceof NexusError) || error.code !== "not-found") throw error;
    }
    const status = (await agent.command("guest-exec-status", { pid: run.pid })) as JsonObject;
    if (status["exited"] === true)
      throw new NexusError("runtime-failed", "the guest cannot run commands: its shell could not make files and pipes in /tmp");
    if (performance.now() > end) throw new NexusError("timeout", `the guest has not begun the command within ${beginMs} ms`);
    await delay(shortestPauseMs);
  }
}

function drained(stream: PassThrough, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // One that nobody reads any more must not hold the command for ever.
    if (stream.destroyed || over.aborted) return resolve();
    const finish = (): void => {
      stream.off("drain", finish).off("close", finish);
      over.removeEventListener("abort", finish);
      resolve();
    };
    stream.on("drain", finish).on("close", finish);
    over.addEventListener("abort", finish);
  });
}

async function clean(agent: GuestAgent, run: Run, input: number): Promise<void> {
  // Closed already when the caller ended its input; then the agent just says so.
  await agent.command("guest-file-close", { handle: input }).catch(() => undefined);
  await shell(agent, cleanScript, [run.directory]).catch(() => undefined);
}

const pieceBytes = 65_536;
const piecesUnderWay = 8;
const shortestPauseMs = 10;
const longestPauseMs = 250;
const beginMs = 30_000;
/** How long nothing may come of a guest whose shell has ended without a mark: something there killed it. */
const endMs = 10_000;

/** What the guest's shell writes after the command's last word. A list of processes shows its letters, but not between these two bytes. */
function endMark(path: string): Buffer {
  return Buffer.from(`\u0001${dirname(path)}\u0002`);
}

/**
 * $1 directory, $2 where to run or nothing, then the command. Each output goes through a pipe to a loop that cuts it into pieces
 * (dd gives what one read gave) and waits while sixteen are not fetched. A process the command leaves behind may keep its
 * outputs open, so their end says nothing: a mark goes into each after the command, and is read by the host. The shell holds both open for
 * that, or a command that closes its output would have ended it. What may wait (the command's pipes, the mark) is opened and written by
 * a process without children: in the shell itself the end of one that feeds or cuts would break that off (EINTR). Descriptors are
 * closed by exec: beside a function's name a shell keeps them for its return.
 */
const runScript = `
d=$1 w=$2; shift 2
umask 077
mkdir "$d" && mkfifo "$d/in" "$d/p0" "$d/p1" "$d/p2" || exit 125
exec 4<"$d/in" 5<>"$d/p1" 6<>"$d/p2" && : >"$d/ready" || exit 125
cut() {
  n=0
  while dd bs=65536 count=1 of="$d/part$1" 2>/dev/null && [ -s "$d/part$1" ]; do
    while [ -s "$d/$1.$((n - 16))" ]; do sleep 0.05 2>/dev/null || sleep 1; done
    rm -f "$d/$1.$((n - 16))"
    mv "$d/part$1" "$d/$1.$n"
    n=$((n + 1))
  done
}
feed() {
  n=0
  while read -r bell <&4; do
    cat "$d/in.$n"
    rm -f "$d/in.$n"
    n=$((n + 1))
  done
}
( exec >"$d/p0" 2>/dev/null 5<&- 6<&-; feed ) &
feeder=$!
( exec <"$d/p1" >/dev/null 2>&1 4<&- 5<&- 6<&-; cut 1 ) &
( exec <"$d/p2" >/dev/null 2>&1 4<&- 5<&- 6<&-; cut 2 ) &
( exec sh -c 'echo $$ >"$0/pid"; [ -z "$1" ] || cd -- "$1" || exit 126; shift; exec "$@"' "$d" "$w" "$@" ) <"$d/p0" 4<&- >"$d/p1" 2>"$d/p2" 5<&- 6<&-
code=$?
kill $feeder 2>/dev/null
( printf '\\001%s\\002' "$d" >&5; printf '\\001%s\\002' "$d" >&6 )
exit $code
`;

/** What cuts the output may be about to make one more file. */
const cleanScript = `
i=0
until rm -rf "$1" 2>/dev/null || [ $i -ge 50 ]; do sleep 0.1 2>/dev/null || sleep 1; i=$((i + 1)); done
`;

const killScript = `
i=0
while [ ! -s "$1/pid" ] && [ $i -lt 50 ]; do sleep 0.1 2>/dev/null || sleep 1; i=$((i + 1)); done
kill -s "$2" "$(cat "$1/pid")"
`;
