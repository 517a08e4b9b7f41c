import { randomInt } from "node:crypto";
import type { Socket } from "node:net";
import { NexusError, WireError } from "../base/errors.ts";
import { connectIn } from "./qmp-connect.ts";
import { plainWords } from "./plain-words.ts";
import { JsonLines, type JsonObject } from "./qmp-lines.ts";

/** A card as the guest sees it. */
export type AgentInterface = { name: string; mac?: string; addresses: { address: string; bits: number }[] };

/**
 * A conversation with qemu-ga in a guest, on its serial channel (qga/qapi-schema.json). The agent takes one command at a time, so
 * ours wait for each other. What it says is the guest's word: nothing of it is trusted further than its type.
 */
export class GuestAgent implements Disposable {
  readonly #socket: Socket;
  readonly #lines = new JsonLines(mostAnswerBytes);
  #turn: Promise<unknown> = Promise.resolve();
  #waiting: { fits: (message: JsonObject) => boolean; answer: PromiseWithResolvers<JsonObject> } | undefined;
  #broken: NexusError | undefined;
  /** Bytes since the last question was asked or answered, and how many there may be. */
  #heard = 0;
  #mayHear = mostUnaskedBytes;

  /**
   * Resolves once the agent is there and in step: a guest that is still booting is waited for.
   * @throws NexusError `timeout`, `wrong-state` when the guest does not run; the signal's reason
   */
  static async connect(
    directory: string,
    name: string,
    limit: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<GuestAgent> {
    const end = performance.now() + limit.timeoutMs;
    const deadline = AbortSignal.timeout(limit.timeoutMs);
    const signal = limit.signal === undefined ? deadline : AbortSignal.any([deadline, limit.signal]);
    let agent: GuestAgent | undefined;
    const abort = (): void => agent?.[Symbol.dispose]();
    signal.addEventListener("abort", abort, { once: true });
    try {
      agent = new GuestAgent(await connectIn(directory, name, { signal }));
      await agent.#synchronise(Math.max(1, Math.ceil(end - performance.now())));
      return agent;
    } catch (error) {
      agent?.[Symbol.dispose]();
      if (limit.signal?.aborted === true) throw limit.signal.reason;
      throw deadline.aborted ? silent(limit.timeoutMs) : error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      try {
        this.#heard += bytes.length;
        if (this.#heard > this.#mayHear) throw new WireError("the guest agent's answer", `longer than ${this.#mayHear} bytes`);
        for (const message of this.#lines.push(bytes)) if (this.#waiting?.fits(message) === true) this.#waiting.answer.resolve(message);
      } catch (error) {
        this.#break(error instanceof NexusError ? error : new NexusError("wire-invalid", String(error)));
      }
    });
    socket.on("close", () => this.#break(new NexusError("wrong-state", "the guest's agent channel was closed: the guest has ended")));
  }

  get closed(): boolean {
    return this.#broken !== undefined;
  }

  /**
   * One command of the agent. @throws NexusError `runtime-failed` with its words; `timeout`, after which this connection is of
   * no more use, for the answer may still come
   */
  command(name: string, argument: JsonObject = {}, limit: { timeoutMs?: number; mostBytes?: number } = {}): Promise<unknown> {
    const mine = this.#turn.then(() => this.#exchange(name, { argument, timeoutMs: commandMs, ...limit }));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async ping(limit?: { timeoutMs?: number }): Promise<void> {
    await this.command("guest-ping", {}, limit);
  }

  async interfaces(): Promise<AgentInterface[]> {
    return listOf(await this.command("guest-network-get-interfaces")).map((card) => ({
      name: String(card["name"]),
      ...(typeof card["hardware-address"] === "string" ? { mac: card["hardware-address"] } : {}),
      addresses: listOf(card["ip-addresses"]).map((one) => ({ address: String(one["ip-address"]), bits: Number(one["prefix"]) })),
    }));
  }

  /** Asks for it; the agent does not answer, as it may be gone before it could. */
  shutdown(mode: "powerdown" | "reboot" | "halt" = "powerdown"): void {
    this.#turn = this.#turn.then(() => {
      if (this.#broken === undefined) this.#send("guest-shutdown", { mode });
    });
  }

  /** Resolves when all that was asked for so far has been sent and answered, or has failed. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  [Symbol.dispose](): void {
    this.#break(new NexusError("wrong-state", "the connection to the guest's agent was closed"));
  }

  async #synchronise(timeoutMs: number): Promise<void> {
    const id = randomInt(1, 2 ** 31);
    // The byte ends whatever half a command an earlier client left behind; what is no answer to this is an earlier one's too.
    this.#socket.write(Uint8Array.of(0xff));
    await this.#exchange("guest-sync-delimited", { argument: { id }, timeoutMs, fits: (message) => message["return"] === id });
  }

  async #exchange(
    name: string,
    ask: { argument: JsonObject; timeoutMs: number; mostBytes?: number; fits?: (message: JsonObject) => boolean },
  ): Promise<unknown> {
    if (this.#broken !== undefined) throw this.#broken;
    const answer = Promise.withResolvers<JsonObject>();
    this.#waiting = { fits: ask.fits ?? (() => true), answer };
    this.#hear(ask.mostBytes ?? mostAnswerBytes);
    const timer = setTimeout(() => this.#break(silent(ask.timeoutMs, name)), ask.timeoutMs);
    try {
      this.#send(name, ask.argument);
      const message = await answer.promise;
      if ("error" in message) throw refused(name, message["error"]);
      return message["return"];
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
      this.#hear(mostUnaskedBytes);
    }
  }

  /** What the guest says, of use or not, is work for us. */
  #hear(mostBytes: number): void {
    this.#heard = 0;
    this.#mayHear = mostBytes;
  }

  #send(name: string, argument: JsonObject): void {
    this.#socket.write(`${JSON.stringify({ execute: name, arguments: argument })}\n`);
  }

  #break(reason: NexusError): void {
    this.#broken ??= reason;
    this.#waiting?.answer.reject(this.#broken);
    if (this.#socket.writableEnded) return;
    // The last words go out, unless the guest does not take them; nothing more is heard.
    this.#socket.removeAllListeners("data").pause().destroySoon();
    setTimeout(() => this.#socket.destroy(), lastWordsMs).unref();
  }
}

/** One answer, all that comes with it counted; a guest that sends more, to fill our memory or our time, is heard no further. */
const mostAnswerBytes = 1024 * 1024;
const mostUnaskedBytes = 64 * 1024;
const commandMs = 10_000;
const lastWordsMs = 1000;

/** The objects of a list a guest sent, whatever else it sent. */
export function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter((one): one is JsonObject => typeof one === "object" && one !== null) : [];
}

function refused(name: string, error: unknown): NexusError {
  const words = typeof error === "object" && error !== null && "desc" in error ? plainWords(String(error.desc)) : "no reason given";
  return new NexusError("runtime-failed", `the guest's agent refused ${name}: ${words}`, { details: { command: name, said: words } });
}

function silent(timeoutMs: number, name?: string): NexusError {
  const asked = name === undefined ? "" : ` to ${name}`;
  return new NexusError("timeout", `the guest's agent has not answered${asked} within ${Math.round(timeoutMs)} ms`, {
    hint: "it may still be booting, or have no qemu-guest-agent",
  });
}
