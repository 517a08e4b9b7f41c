import type { Socket } from "node:net";
import type { Ip } from "../../base/ip.ts";
import { Inbox } from "./inbox.ts";

/** A connection to a server by which one request after the other can go. `place` is the canonical `host:port` it was judged for. */
export class Upstream implements Disposable {
  readonly place: string;
  readonly address: Ip;
  readonly socket: Socket;
  readonly inbox: Inbox;

  constructor(place: string, { socket, address }: { socket: Socket; address: Ip }) {
    this.place = place;
    this.address = address;
    this.socket = socket;
    this.inbox = new Inbox(socket);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** Servers keep an idle connection for longer than this, so that none is closed under a request. */
const keepMs = 1000;
const maxKept = 32;

/** Idle connections of one run. They serve no other run, and whoever takes one has judged anew. */
export class IdleUpstreams implements Disposable {
  readonly #idle = new Map<Upstream, NodeJS.Timeout>();

  /** One to that place, the latest used, or undefined. */
  take(place: string): Upstream | undefined {
    const found = [...this.#idle.keys()].findLast((upstream) => upstream.place === place && upstream.socket.writable);
    if (found === undefined) return undefined;
    clearTimeout(this.#idle.get(found));
    this.#idle.delete(found);
    return found;
  }

  /** Keeps a connection whose last response has ended. A server that closes it, or says what it was not asked, is left. */
  keep(upstream: Upstream): void {
    if (upstream.inbox.held.length > 0 || upstream.inbox.over || this.#idle.size >= maxKept) return upstream[Symbol.dispose]();
    const drop = () => {
      if (!this.#idle.has(upstream)) return;
      clearTimeout(this.#idle.get(upstream));
      this.#idle.delete(upstream);
      upstream[Symbol.dispose]();
    };
    this.#idle.set(upstream, setTimeout(drop, keepMs).unref());
    void upstream.inbox.more().then(drop);
  }

  [Symbol.dispose](): void {
    for (const [upstream, timer] of this.#idle) {
      clearTimeout(timer);
      upstream[Symbol.dispose]();
    }
    this.#idle.clear();
  }
}
