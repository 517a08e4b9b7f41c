import { setTimeout as delay } from "node:timers/promises";
import type { SandboxDriver, SandboxExit, SandboxPlan, SandboxProcess } from "../guests/sandbox.ts";
import type { RunReason, RunState } from "../spec/run-view.ts";
import { RunOutput } from "./run-output.ts";

/** Why a run is made to end before its time. */
export type Ending = { state: Extract<RunState, "timed-out" | "cancelled" | "failed">; reason: RunReason };

export type Outcome = { state: RunState; reason: RunReason; exit: SandboxExit };

type Start = {
  driver: SandboxDriver;
  plan: SandboxPlan;
  timeoutMs: number;
  graceMs: number;
  /** The directory its outputs are kept in. */
  outputs: string;
  outputLimitBytes: number;
  /** Somebody watches as it runs. */
  live: boolean;
};

/** One command that runs: its time, its outputs, its end. */
export class LiveRun implements AsyncDisposable {
  readonly stdout: RunOutput;
  readonly stderr: RunOutput;
  readonly process: SandboxProcess;
  /** When it has ended and its outputs are taken in. */
  readonly ended: Promise<Outcome>;
  #ending: Ending | undefined;
  #over = false;
  readonly #timers: NodeJS.Timeout[] = [];

  /** @throws NexusError when the sandbox could not be made; then nothing runs */
  static async start(o: Start, signal: AbortSignal): Promise<LiveRun> {
    return new LiveRun(await o.driver.start(o.plan, signal), o);
  }

  private constructor(process: SandboxProcess, o: Start) {
    const output = (name: string) => new RunOutput({ path: `${o.outputs}/${name}`, limitBytes: o.outputLimitBytes, live: o.live });
    this.process = process;
    this.stdout = output("stdout");
    this.stderr = output("stderr");
    process.stdin.on("error", () => {});
    this.#after(o.timeoutMs, () => this.end({ state: "timed-out", reason: "timeout" }, { signal: "SIGTERM", graceMs: o.graceMs }));
    this.ended = this.#watch();
    this.ended.catch(() => {});
  }

  /** Asks it to end, and kills all of it after the grace. The first reason counts; a later call can only shorten the grace. */
  end(ending: Ending, how: { signal: NodeJS.Signals; graceMs: number }): void {
    if (this.#over) return;
    this.#ending ??= ending;
    this.process.signal(how.signal);
    this.#after(how.graceMs, () => void this.process.kill().catch(() => {}));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }

  async #watch(): Promise<Outcome> {
    const { process, stdout, stderr } = this;
    try {
      const taken = Promise.all([
        stdout.take(
          process.stdout,
          process.exit.catch(() => {}),
        ),
        process.stderr === undefined
          ? stderr.viewer?.end()
          : stderr.take(
              process.stderr,
              process.exit.catch(() => {}),
            ),
      ]);
      const exit = await process.exit;
      this.#over = true;
      // All writers are dead: what is left is in the pipes. A reader that still waits then is cut off.
      const rest = new AbortController();
      await Promise.race([taken, delay(drainMs, undefined, { signal: rest.signal }).catch(() => {})]);
      rest.abort();
      process.stdout.destroy();
      process.stderr?.destroy();
      await taken;
      return { ...outcomeOf(exit, this.#ending), exit };
    } finally {
      this.#over = true;
      for (const timer of this.#timers) clearTimeout(timer);
      await Promise.all([stdout[Symbol.asyncDispose](), stderr[Symbol.asyncDispose]()]);
    }
  }

  #after(ms: number, work: () => void): void {
    this.#timers.push(setTimeout(work, ms));
  }
}

const drainMs = 5000;

function outcomeOf(exit: SandboxExit, ending: Ending | undefined): { state: RunState; reason: RunReason } {
  if (ending !== undefined) return ending;
  if (exit.code === 0) return { state: "succeeded", reason: "ok" };
  if (exit.outOfMemory) return { state: "failed", reason: "out-of-memory" };
  return { state: "failed", reason: exit.signal === undefined ? "exit-code" : "signal" };
}
