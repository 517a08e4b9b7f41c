import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a resolver of the outside says of names; `*` is any first label. `numbered`: N is the number in the name. */
export type Zone = Record<string, { addresses?: string[]; numbered?: string; alias?: string; ttl?: number; delayMs?: number }>;
export type NamesRequest = { kind: "zone"; zone: Zone } | { kind: "asked" };

const script = fileURLToPath(new URL("./names-server.ts", import.meta.url));

/** A resolver at port 53 of an address of another namespace. */
export class NamesOutside implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (asked: string[]) => void>();
  #last = 0;

  static async start(netns: string, address: string): Promise<NamesOutside> {
    const child = spawn("ip", ["netns", "exec", netns, process.execPath, script, address], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const names = new NamesOutside(child);
    await new Promise<void>((resolve, reject) => {
      names.#waiting.set(0, () => resolve());
      child.once("exit", (code) => reject(new Error(`the resolver ended with ${code}`)));
    });
    return names;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", ({ id, asked }: { id: number; asked: string[] }) => {
      this.#waiting.get(id)?.(asked);
      this.#waiting.delete(id);
    });
  }

  async serve(zone: Zone): Promise<void> {
    await this.#ask({ kind: "zone", zone });
  }

  /** What it was asked since the last time. */
  async asked(): Promise<string[]> {
    return await this.#ask({ kind: "asked" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }

  #ask(request: NamesRequest): Promise<string[]> {
    const id = ++this.#last;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, ...request });
    });
  }
}
