import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, openClient } from "../../../src/api/client.ts";
import type { EventView } from "../../../src/spec/views.ts";
import { until } from "./until.ts";

const entry = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));

/** The real daemon as its own process, in this network namespace, with state of its own. */
export class Nexusd implements AsyncDisposable {
  readonly #directory: string;
  readonly #socket: string;
  #child: ChildProcess;
  client: Client;

  static async start(): Promise<Nexusd> {
    const directory = mkdtempSync("/var/tmp/nexus-world-");
    const daemon = new Nexusd(directory);
    try {
      await daemon.#answering();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  private constructor(directory: string) {
    this.#directory = directory;
    this.#socket = join(directory, "nexusd.sock");
    this.#child = this.#spawn();
    this.client = openClient(this.#socket);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Kills it as a crash would, and starts it again; what is given happens between. */
  async crashAndStart(meanwhile: () => void = () => {}): Promise<void> {
    await this.#end("SIGKILL");
    meanwhile();
    this.#child = this.#spawn();
    await this.#answering();
  }

  /** What it logged so far. */
  log(): string {
    return readFileSync(join(this.#directory, "log"), "utf8");
  }

  /** What it told since an event number. */
  async eventsSince(since: number): Promise<EventView[]> {
    const events: EventView[] = [];
    for await (const event of await this.client.events("event.list", { query: { since } })) events.push(event);
    return events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.#end("SIGTERM");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #spawn(): ChildProcess {
    const log = openSync(join(this.#directory, "log"), "a");
    const args = [
      entry,
      "daemon",
      "--state-dir",
      join(this.#directory, "state"),
      "--run-dir",
      join(this.#directory, "run"),
      "--socket",
      this.#socket,
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", log, log] });
    closeSync(log);
    return child;
  }

  async #answering(): Promise<void> {
    await until("nexusd answers", async () => {
      if (this.#child.exitCode !== null) throw new Error(`nexusd ended with ${this.#child.exitCode}:\n${this.log()}`);
      return await this.client.call("health").then(
        () => true,
        () => false,
      );
    });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), 15_000);
    await ended;
    clearTimeout(patience);
  }
}
