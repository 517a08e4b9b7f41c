import { once } from "node:events";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { unreachable } from "../base/exhaustive.ts";
import { NexusError } from "../base/errors.ts";
import type { Ip } from "../base/ip.ts";
import type { Name } from "../base/names.ts";
import { nodeHttp } from "../base/node-http.ts";
import { plainWords } from "../guests/plain-words.ts";
import type { ExecRequest, ExecSession } from "../guests/driver.ts";
import type { HealthSpec, Probe } from "../spec/health.ts";
import type { HealthView } from "../spec/views.ts";
import type { GuestRecord } from "../state/rows.ts";
import type { Chronicle } from "./chronicle.ts";

export type HealthOptions = {
  chronicle: Chronicle;
  /** Runs a command in a guest that runs. */
  exec: (guest: GuestRecord, request: ExecRequest) => Promise<ExecSession>;
  /** Whether a guest is yet to run, or still sets itself up: nobody expects it to be well before. */
  isBeingSetUp: (name: Name) => boolean;
};

/** Finds out, again and again, whether live guests do what they are for. */
export class Health implements Disposable {
  readonly #o: HealthOptions;
  readonly #watched = new Map<Name, { view: HealthView; ending: AbortController }>();

  constructor(options: HealthOptions) {
    this.#o = options;
  }

  /** Undefined for a guest that is not live, or whose health nobody asked about. */
  of(name: Name): HealthView | undefined {
    return this.#watched.get(name)?.view;
  }

  guestChanged(guest: GuestRecord, live: boolean): void {
    this.#watched.get(guest.name)?.ending.abort();
    this.#watched.delete(guest.name);
    if (!live || guest.kind === "netns" || guest.spec.health === undefined) return;
    const ending = new AbortController();
    const watch: Watch = { guest, spec: guest.spec.health, view: { state: "starting", failures: 0 }, signal: ending.signal };
    this.#watched.set(guest.name, { view: watch.view, ending });
    void this.#follow(watch);
  }

  [Symbol.dispose](): void {
    for (const { ending } of this.#watched.values()) ending.abort();
    this.#watched.clear();
  }

  async #follow(watch: Watch): Promise<void> {
    const { spec, view, signal } = watch;
    // Failures count once an interval, the first after one, however often the start is looked at.
    let counts = performance.now() + Math.max(spec.startPeriodMs, spec.intervalMs);
    // Who waits for a start is told soon; once it is healthy the interval is enough.
    let pause = Math.min(firstPauseMs, spec.intervalMs);
    while (!signal.aborted) {
      await delay(pause, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const fault = await this.#probe(watch);
      if (signal.aborted) return;
      if (fault === undefined) this.#judge(watch, "healthy");
      else {
        view.said = plainWords(fault);
        const now = performance.now();
        if (view.state === "starting" && this.#o.isBeingSetUp(watch.guest.name)) counts = Math.max(counts, now + spec.intervalMs);
        else if (now >= counts) {
          view.failures++;
          counts = now + spec.intervalMs * 0.9;
        }
        if (view.failures >= spec.retries) this.#judge(watch, "unhealthy");
      }
      pause = view.state === "starting" ? Math.min(pause * 2, spec.intervalMs) : spec.intervalMs;
    }
  }

  #judge({ guest, view }: Watch, state: "healthy" | "unhealthy"): void {
    if (state === "healthy") {
      view.failures = 0;
      delete view.said;
    }
    if (view.state === state) return;
    view.state = state;
    const noun = guest.kind === "vm" ? "vm" : "node";
    const why = view.said === undefined ? "" : `: ${view.said}`;
    this.#o.chronicle.tell({ kind: `${noun}.${state}`, subject: guest.name, message: `${noun} ${guest.name} is ${state}${why}` });
  }

  /** What was wrong, in words; undefined when it is well. */
  async #probe({ guest, spec, signal }: Watch): Promise<string | undefined> {
    const deadline = AbortSignal.timeout(spec.timeoutMs);
    const either = AbortSignal.any([deadline, signal]);
    try {
      await this.#tryOnce(guest, spec.probe, either);
      return undefined;
    } catch (error) {
      if (deadline.aborted) return `no answer within ${spec.timeoutMs} ms`;
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #tryOnce(guest: GuestRecord, probe: Probe, signal: AbortSignal): Promise<void> {
    switch (probe.kind) {
      case "exec":
        return await this.#command(guest, probe.command, signal);
      case "shell":
        return await this.#command(guest, ["/bin/sh", "-c", probe.script], signal);
      case "http":
        return await fetchOnce({ host: addressOf(guest), port: probe.port, path: probe.path }, signal);
      case "tcp":
        return await connectOnce({ host: addressOf(guest), port: probe.port }, signal);
      default:
        return unreachable(probe);
    }
  }

  async #command(guest: GuestRecord, command: string[], signal: AbortSignal): Promise<void> {
    const session = await this.#o.exec(guest, { command, env: {} });
    const kill = () => session.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    try {
      session.stdin.end();
      const said = [tail(session.stdout), ...(session.stderr === undefined ? [] : [tail(session.stderr)])];
      const code = await Promise.race([session.exitCode, once(signal, "abort").then(() => Promise.reject(new Error("interrupted")))]);
      if (code === 0) return;
      // What the command left behind may hold its outputs for ever; why it failed is known without its last words.
      await Promise.race([Promise.all(said.map((tail) => tail.ended)), delay(lastWordsMs, undefined, { signal, ref: false })]);
      throw new Error(`status ${code}${lastLine(said.map((tail) => tail.text))}`);
    } finally {
      for (const output of [session.stdout, session.stderr]) if (output instanceof Readable) output.destroy();
      signal.removeEventListener("abort", kill);
    }
  }
}

type Watch = { guest: GuestRecord; spec: HealthSpec; view: HealthView; signal: AbortSignal };

/** @throws NexusError unsupported for a guest without an address, as a virtual machine in user mode is */
function addressOf(guest: GuestRecord): Ip {
  const address = guest.leases[0]?.address;
  if (address !== undefined) return address;
  throw new NexusError("unsupported", `${guest.name} has no address to knock at`, { hint: "let a command in the guest tell its health" });
}

async function connectOnce(to: { host: Ip; port: number }, signal: AbortSignal): Promise<void> {
  const socket = connect(to);
  try {
    await once(socket, "connect", { signal });
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

/** Well is any status below 400, as curl --fail has it. */
async function fetchOnce(to: { host: Ip; port: number; path: string }, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = nodeHttp().get({ ...to, signal, agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  request.on("error", reject);
  const status = await promise.finally(() => request.destroy());
  if (status >= 400) throw new Error(`HTTP status ${status}`);
}

/** The end of what a command says, as far as it came; the rest is let go. */
function tail(stream: NodeJS.ReadableStream): { text: string; ended: Promise<void> } {
  const heard = { text: "", ended: Promise.resolve() };
  const listen = async (): Promise<void> => {
    for await (const chunk of stream) heard.text = `${heard.text}${chunk.toString()}`.slice(-tailCharacters);
  };
  // What was said until it broke off counts.
  heard.ended = listen().catch(() => {});
  return heard;
}

function lastLine(said: readonly string[]): string {
  const line = said
    .map((text) => text.trim().split("\n").at(-1) ?? "")
    .filter((text) => text !== "")
    .at(-1);
  return line === undefined ? "" : `: ${line.slice(0, 200)}`;
}

const firstPauseMs = 100;
const lastWordsMs = 1000;
const tailCharacters = 4096;
