import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, openClient } from "../../src/api/client.ts";
import type { EventView } from "../../src/spec/views.ts";
import { testCache } from "../../scripts/test-mini.ts";
import { until } from "../kernel/world/until.ts";
import { mountPoints, processesWith, shTry } from "./host.ts";

const program = fileURLToPath(new URL("../../nexusd", import.meta.url));

export type Places = { stateDir: string; runDir: string; socket: string; log: string };

/** The daemon as its users run it, to be ended in every way there is and started again on the same state. */
export class Nexusd implements AsyncDisposable {
  readonly places: Places;
  readonly client: Client;
  /** Names of all nodes that were ever asked for. */
  readonly named = new Set<string>();
  readonly #directory: string;
  #child: ChildProcess | undefined;

  /** With a directory of its own, removed at the end. `state` is elsewhere when given, for disks that are to fill up. */
  constructor(options: { stateDir?: string } = {}) {
    this.#directory = mkdtempSync("/var/tmp/nexus-chaos-");
    const at = (name: string) => join(this.#directory, name);
    this.places = { stateDir: options.stateDir ?? at("state"), runDir: at("run"), socket: at("nexusd.sock"), log: at("log") };
    this.client = openClient(this.places.socket);
  }

  static async started(options: { stateDir?: string } = {}): Promise<Nexusd> {
    const daemon = new Nexusd(options);
    try {
      await daemon.start();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  /** @throws when it is down */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error("nexusd is down");
    return this.#child.pid;
  }

  get isUp(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it and waits until it serves. @throws with its log when it ends instead */
  async start(): Promise<void> {
    this.spawn();
    await until(
      "nexusd serves",
      async () => {
        if (!this.isUp) throw new Error(`nexusd ended with ${this.#child?.exitCode ?? this.#child?.signalCode}:\n${this.log()}`);
        return await this.client.call("health").then(
          () => true,
          () => false,
        );
      },
      30_000,
    );
  }

  /** Starts it without waiting for anything. */
  spawn(): void {
    if (this.isUp) throw new Error("nexusd is up");
    mkdirSync(this.#directory, { recursive: true });
    const log = openSync(this.places.log, "a");
    const { stateDir, runDir, socket } = this.places;
    const env = { ...process.env, NEXUS_CACHE_DIR: testCache };
    this.#child = spawn(program, ["--state-dir", stateDir, "--run-dir", runDir, "--socket", socket], { stdio: ["ignore", log, log], env });
    closeSync(log);
  }

  /** Ends it; gives its exit code, or the signal that it died of. */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    const child = this.#child;
    if (child === undefined) throw new Error("nexusd is down");
    if (this.isUp) {
      const ended = once(child, "exit", { signal: AbortSignal.timeout(30_000) });
      child.kill(signal);
      await ended;
    }
    return child.exitCode ?? child.signalCode ?? "SIGKILL";
  }

  async crashAndStart(): Promise<void> {
    await this.end("SIGKILL");
    await this.start();
  }

  /** Whether an id is of a guest of this daemon: others on the host share the parent of all cgroups. */
  isOurs(id: string): boolean {
    const name = id.slice(0, -9);
    return this.named.has(name);
  }

  log(): string {
    return readFileSync(this.places.log, "utf8");
  }

  async eventsSince(since: number): Promise<EventView[]> {
    const events: EventView[] = [];
    for await (const event of await this.client.events("event.list", { query: { since } })) events.push(event);
    return events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isUp) {
      const patience = setTimeout(() => this.#child?.kill("SIGKILL"), 15_000);
      await this.client.call("network.reset", { query: { force: true } }).catch(() => {});
      await this.end("SIGTERM");
      clearTimeout(patience);
    }
    this.client.close();
    // What a failed test leaves: nodes that still run, and their mounts.
    const guests = join(this.places.stateDir, "guests");
    const inits = existsSync(guests) ? readdirSync(guests).flatMap((id) => pidIn(join(guests, id, "pid")) ?? []) : [];
    for (const pid of [...inits, ...processesWith(this.#directory).keys()]) killIfThere(pid);
    for (const point of mountPoints()
      .filter((p) => p.startsWith(`${this.#directory}/`))
      .toReversed())
      await shTry("umount", "--lazy", point);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function pidIn(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8"));
  // A number that is in use again is not ours: a container's first process is number 1 of a namespace of its own.
  return pid > 1 && existsSync(`/proc/${pid}`) && /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")) ? pid : undefined;
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
