import type { Socket } from "node:net";
import { NexusError } from "../base/errors.ts";
import { sendWithDescriptors } from "../kernel/unix-socket.ts";
import { connectIn } from "./qmp-connect.ts";
import { JsonLines, type JsonObject } from "./qmp-lines.ts";

/** Something QEMU reports unasked (qapi/*.json, "Event"). */
export type QmpEvent = { event: string; data: JsonObject };

/**
 * A conversation with QEMU's monitor (docs/interop/qmp-spec). Commands may overlap; every one has a deadline. The
 * connection may be closed and made again at any time, by another process too: QEMU and its guest do not notice.
 */
export class Qmp implements Disposable {
  readonly version: { major: number; minor: number };
  readonly #socket: Socket;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #next = 1;
  #closed: NexusError | undefined;

  /** @throws NexusError `timeout`, `wrong-state` when no QEMU listens */
  static async connect(directory: string, name: string, limit: { timeoutMs: number }): Promise<Qmp> {
    const signal = AbortSignal.timeout(limit.timeoutMs);
    let socket: Socket;
    try {
      socket = await connectIn(directory, name, { signal });
    } catch (error) {
      throw signal.aborted ? late("QEMU's monitor", limit.timeoutMs) : error;
    }
    try {
      const { lines, greeting } = await greetingOf(socket, limit.timeoutMs);
      const qmp = new Qmp(socket, lines, greeting);
      await qmp.execute("qmp_capabilities", {}, limit);
      return qmp;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  private constructor(socket: Socket, lines: JsonLines, greeting: JsonObject) {
    this.#socket = socket;
    this.version = versionOf(greeting);
    socket.on("data", (bytes: Buffer) => {
      try {
        for (const message of lines.push(bytes)) this.#take(message);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on("close", () => this.#end());
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** @throws NexusError `runtime-failed` with QEMU's words, `timeout`, `wrong-state` when QEMU has ended */
  execute(command: string, argument: JsonObject = {}, limit: { timeoutMs: number } = { timeoutMs: 10_000 }): Promise<unknown> {
    return this.#ask(command, limit.timeoutMs, (id) => this.#socket.write(lineOf(command, argument, id)));
  }

  /** Gives QEMU a copy of a descriptor, kept under a name for the next command that wants it. @throws as execute; KernelError */
  async lend(name: string, descriptor: number): Promise<void> {
    await this.#send("getfd", { fdname: name }, descriptor);
  }

  /** Gives QEMU a copy of a descriptor for it to open, while `use` runs, by the name that gets. @throws as lend, and what `use` throws */
  async lendFile<T>(descriptor: number, use: (name: string) => Promise<T>): Promise<T> {
    const added = objectOf(await this.#send("add-fd", {}, descriptor));
    try {
      return await use(`/dev/fdset/${Number(added["fdset-id"])}`);
    } finally {
      // What it opened is a copy of its own; a monitor that closed took this one along.
      await this.execute("remove-fd", { "fdset-id": added["fdset-id"] }).catch(() => undefined);
    }
  }

  #send(command: string, argument: JsonObject, descriptor: number): Promise<unknown> {
    return this.#ask(command, 10_000, (id) => {
      if (this.#socket.writableLength > 0) throw new NexusError("internal", "a descriptor would overtake what waits for QEMU");
      sendWithDescriptors(this.#socket, Buffer.from(lineOf(command, argument, id)), [descriptor]);
    });
  }

  async #ask(command: string, timeoutMs: number, send: (id: number) => void): Promise<unknown> {
    if (this.#closed !== undefined) throw this.#closed;
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    const timer = setTimeout(() => answer.reject(late(`QEMU's answer to ${command}`, timeoutMs)), timeoutMs);
    try {
      send(id);
      return await answer.promise;
    } catch (error) {
      throw error instanceof Refusal ? refused(command, error.words) : error;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** The next event that fits, from now on: ask before doing what causes it. @throws NexusError `timeout` */
  event(fits: (event: QmpEvent) => boolean, limit: { what: string; timeoutMs: number }): Promise<QmpEvent> {
    const found = Promise.withResolvers<QmpEvent>();
    const listener = (event: QmpEvent): void => {
      if (fits(event)) found.resolve(event);
    };
    const timer = setTimeout(() => found.reject(late(limit.what, limit.timeoutMs)), limit.timeoutMs);
    const close = (): void => found.reject(this.#closed ?? gone());
    this.#listeners.add(listener);
    this.#socket.once("close", close);
    const result = found.promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.delete(listener);
      this.#socket.off("close", close);
    });
    // Whoever fails before awaiting it must not leave an unhandled rejection.
    result.catch(() => undefined);
    return result;
  }

  [Symbol.dispose](): void {
    this.#end();
    this.#socket.destroy();
  }

  #take(message: JsonObject): void {
    if (typeof message["event"] === "string") {
      const event: QmpEvent = { event: message["event"], data: objectOf(message["data"]) };
      for (const listener of this.#listeners) listener(event);
      return;
    }
    const answer = this.#pending.get(Number(message["id"]));
    if (answer === undefined) return;
    if ("error" in message) answer.reject(new Refusal(String(objectOf(message["error"])["desc"] ?? "no reason given")));
    else answer.resolve(message["return"]);
  }

  #end(): void {
    this.#closed ??= gone();
    for (const answer of this.#pending.values()) answer.reject(this.#closed);
  }
}

function lineOf(command: string, argument: JsonObject, id: number): string {
  return `${JSON.stringify({ execute: command, arguments: argument, id })}\n`;
}

class Refusal extends Error {
  readonly words: string;
  constructor(words: string) {
    super(words);
    this.words = words;
  }
}

function greetingOf(socket: Socket, timeoutMs: number): Promise<{ lines: JsonLines; greeting: JsonObject }> {
  const lines = new JsonLines();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late("QEMU's greeting", timeoutMs)), timeoutMs);
    const data = (bytes: Buffer): void => {
      try {
        const [greeting] = lines.push(bytes);
        if (greeting !== undefined) finish(() => resolve({ lines, greeting }));
      } catch (error) {
        finish(() => reject(error));
      }
    };
    const close = (): void => finish(() => reject(gone()));
    const finish = (then: () => void): void => {
      clearTimeout(timer);
      socket.off("data", data);
      socket.off("close", close);
      then();
    };
    socket.on("data", data);
    socket.on("close", close);
  });
}

function versionOf(greeting: JsonObject): { major: number; minor: number } {
  const version = objectOf(objectOf(objectOf(greeting["QMP"])["version"])["qemu"]);
  return { major: Number(version["major"] ?? 0), minor: Number(version["minor"] ?? 0) };
}

function objectOf(value: unknown): JsonObject {
  return typeof value === "object" && value !== null ? (value as JsonObject) : {};
}

function refused(command: string, words: string): NexusError {
  return new NexusError("runtime-failed", `QEMU refused ${command}: ${words}`, { details: { command, said: words } });
}

function late(what: string, timeoutMs: number): NexusError {
  return new NexusError("timeout", `${what} did not come within ${timeoutMs} ms`);
}

function gone(): NexusError {
  return new NexusError("wrong-state", "QEMU has closed its monitor: the guest has ended");
}
