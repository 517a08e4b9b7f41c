import { Worker } from "node:worker_threads";

/** What a listener says to whoever reaches it. */
export type Heard = { by: string; port: number; seen: string; seenPort: number | undefined };

/** What became of one attempt to reach somebody. */
export type Outcome =
  | ({ kind: "answer" } & Heard)
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "refused"; code: string; ms: number }
  | { kind: "silent" };

export type Probe = {
  protocol: "tcp" | "udp";
  address: string;
  port: number;
  patienceMs: number;
  localPort?: number;
  /** UDP: bytes to send instead of the usual question; the answer's bytes are given back. */
  payload?: Uint8Array;
};

export type PlaceData = { label: string; netns: string | undefined };

export type Request =
  | { kind: "listen"; tcp: number[]; udp: number[]; echo: number[]; talk: number[] }
  /** A connection that stays, by a name of the caller's; and a word on it, which is to come back. */
  | { kind: "hold"; as: string; address: string; port: number }
  | { kind: "cut"; as: string; patienceMs: number }
  | { kind: "say"; as: string; patienceMs: number }
  | { kind: "probe"; probe: Probe }
  | { kind: "send"; link: string; frames: Uint8Array[] }
  | { kind: "sniff"; link: string }
  | { kind: "sniffed"; link: string };
export type Asked = Request & { id: number };

/** A thread that lives in a network namespace: what it opens, sends and hears is what a program there would. */
export class Place implements AsyncDisposable {
  readonly label: string;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #last = 0;

  /** `netns` is a path below /run/netns; the caller's own namespace when absent. */
  constructor(label: string, netns?: string) {
    this.label = label;
    this.#worker = new Worker(new URL("place-thread.ts", import.meta.url), {
      workerData: { label, netns } satisfies PlaceData,
      // Its sockets are opened by calls Node does not see; it would take each close for a mistake.
      trackUnmanagedFds: false,
    });
    this.#worker.on("message", ({ id, value, error }: { id: number; value: never; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(`${label}: ${error}`));
    });
    this.#worker.on("error", (error: Error) => {
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
    });
  }

  listen(ports: { tcp?: number[]; udp?: number[]; echo?: number[]; talk?: number[] }): Promise<void> {
    return this.#ask({ kind: "listen", tcp: ports.tcp ?? [], udp: ports.udp ?? [], echo: ports.echo ?? [], talk: ports.talk ?? [] });
  }

  /** Opens a connection and keeps it. */
  hold(as: string, address: string, port: number): Promise<void> {
    return this.#ask({ kind: "hold", as, address, port });
  }

  /** Whether a held connection ends by itself. */
  cut(as: string, patienceMs = 8000): Promise<"cut" | "goes on"> {
    return this.#ask({ kind: "cut", as, patienceMs });
  }

  /** Whether a word on a held connection comes back. */
  say(as: string, patienceMs = 8000): Promise<"heard" | "cut" | "silent"> {
    return this.#ask({ kind: "say", as, patienceMs });
  }

  probe(probe: Probe): Promise<Outcome> {
    return this.#ask({ kind: "probe", probe });
  }

  /** Puts whole Ethernet frames on a link. */
  send(link: string, ...frames: Uint8Array[]): Promise<void> {
    return this.#ask({ kind: "send", link, frames });
  }

  /** From now on, keeps every frame that the link carries. */
  sniff(link: string): Promise<void> {
    return this.#ask({ kind: "sniff", link });
  }

  /** The frames since the last call. */
  sniffed(link: string): Promise<Uint8Array[]> {
    return this.#ask({ kind: "sniffed", link });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #ask<T>(request: Request): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id });
    });
  }
}
