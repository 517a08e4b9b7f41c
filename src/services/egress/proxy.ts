import type { Duplex } from "node:stream";
import { type Clock, systemClock } from "../../base/clock.ts";
import { type Log, silentLog } from "../../base/log.ts";
import type { EgressPolicy } from "../../spec/egress.ts";
import { Alarm } from "./alarm.ts";
import type { AuditSink } from "./audit.ts";
import { type Dial, dialDirect } from "./connect.ts";
import type { OwnAddresses } from "./decide.ts";
import { serveHttp } from "./http.ts";
import { Inbox } from "./inbox.ts";
import { defaultEgressLimits, type EgressLimits } from "./limits.ts";
import { hostAddresses } from "./own-addresses.ts";
import { farewell, httpRefusal, leave, tlsAccessDenied } from "./reply.ts";
import { type EgressResolver, type GuestAddresses, Run, type RunFigures } from "./run.ts";
import { serveSocks } from "./socks.ts";
import { reset } from "./tunnel.ts";

export type EgressProxyOptions = {
  /** Whose connections these are; in every audit line. */
  run: string;
  policy: EgressPolicy;
  policyEnds?: number;
  resolver: EgressResolver;
  guests?: GuestAddresses;
  audit: AuditSink;
  dial?: Dial;
  limits?: Partial<EgressLimits>;
  ownAddresses?: OwnAddresses;
  clock?: Clock;
  log?: Log;
};

export type EgressFigures = RunFigures & { connections: number; waiting: number; turnedAway: number };

export type EgressProxy = Disposable & {
  /**
   * Takes over an accepted connection, whatever it came by, and gives none back. Listeners must allow half-open connections,
   * or an answer is lost to a client that has finished sending. Never throws.
   */
  serve(connection: Duplex): void;
  /** Holds from the next request on, and cuts what is open and would be refused now. `policyEnds`: ms since the epoch. */
  setPolicy(policy: EgressPolicy, policyEnds?: number): void;
  /** Ends all connections at once. May be repeated. */
  close(): void;
  figures(): EgressFigures;
};

/** The way out of one run: HTTP, CONNECT and SOCKS5 on any connection, told apart by their first byte. */
export function createEgressProxy(options: EgressProxyOptions): EgressProxy {
  const proxy = new Proxy(options);
  return {
    serve: (connection) => proxy.serve(connection),
    setPolicy: (policy, policyEnds) => proxy.run.setPolicy(policy, policyEnds),
    close: () => proxy[Symbol.dispose](),
    figures: () => proxy.figures(),
    [Symbol.dispose]: () => proxy[Symbol.dispose](),
  };
}

const firstByte = { socks4: 4, socks5: 5, tls: 22 } as const;
/** How often those turned away are told of in the audit log. */
const turnedAwayMs = 1000;

class Proxy implements Disposable {
  readonly run: Run;
  readonly #log: Log;
  readonly #connections = new Set<Duplex>();
  readonly #waiting = new Map<Duplex, NodeJS.Timeout>();
  #turnedAway = 0;
  #untold = 0;
  #telling: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: EgressProxyOptions) {
    this.#log = options.log ?? silentLog;
    this.run = new Run({
      ...options,
      dial: options.dial ?? dialDirect,
      limits: { ...defaultEgressLimits, ...options.limits },
      ownAddresses: options.ownAddresses ?? hostAddresses(),
      guests: options.guests ?? (() => []),
      clock: options.clock ?? systemClock,
      onFault: (error) => this.#log.error({ err: error, run: options.run }, "egress: a connection ended by a defect"),
    });
  }

  serve(connection: Duplex): void {
    connection.on("error", () => {});
    const { connections, headMs } = this.run.limits;
    if (this.#closed) return void connection.destroy();
    if (this.#connections.size < connections) return this.#begin(connection);
    if (this.#waiting.size >= connections) return this.#turnAway(connection);
    // Not read, so it costs little and sends nothing more.
    connection.pause();
    this.#waiting.set(
      connection,
      setTimeout(() => this.#turnAway(connection), headMs),
    );
    connection.once("close", () => this.#leave(connection));
  }

  figures(): EgressFigures {
    return { ...this.run.figures(), connections: this.#connections.size, waiting: this.#waiting.size, turnedAway: this.#turnedAway };
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.run[Symbol.dispose]();
    for (const connection of [...this.#connections, ...this.#waiting.keys()]) reset(connection);
    clearTimeout(this.#telling);
    if (this.#untold > 0) this.#tell();
  }

  #begin(connection: Duplex): void {
    this.#connections.add(connection);
    connection.once("close", () => {
      this.#connections.delete(connection);
      const next = this.#waiting.keys().next().value;
      if (next === undefined || this.#closed) return;
      this.#leave(next);
      this.#begin(next);
    });
    converse(this.run, new Inbox(connection)).catch((error: unknown) => {
      this.run.fault(error);
      connection.destroy();
    });
  }

  #leave(connection: Duplex): void {
    clearTimeout(this.#waiting.get(connection));
    this.#waiting.delete(connection);
  }

  /** One audit line for all of a second: whoever opens connections in a loop must not fill the log. */
  #turnAway(connection: Duplex): void {
    this.#leave(connection);
    this.#turnedAway++;
    this.#untold++;
    this.#telling ??= setTimeout(() => this.#tell(), turnedAwayMs);
    reset(connection);
  }

  #tell(): void {
    this.#telling = undefined;
    using passage = this.run.begin("-");
    passage.decide({
      verdict: "deny",
      reason: "OTHER",
      detail: `${this.#untold} connections beyond the limit of ${this.run.limits.connections}`,
    });
    this.#untold = 0;
  }
}

async function converse(run: Run, inbox: Inbox): Promise<void> {
  const begun = await firstOf(run, inbox);
  if (begun === undefined) return;
  if (begun === firstByte.socks5) return await serveSocks(run, inbox);
  if ((begun >= 65 && begun <= 90) || (begun >= 97 && begun <= 122)) return await serveHttp(run, inbox);
  using passage = run.begin("-");
  await run.turnstile.enter();
  inbox.release();
  if (begun === firstByte.tls) {
    passage.decide({ verdict: "deny", reason: "PROXY_REQUIRED", detail: "TLS to a host must be asked for with CONNECT" });
    return farewell(inbox.stream, tlsAccessDenied);
  }
  const detail = begun === firstByte.socks4 ? "SOCKS4 is not offered; use SOCKS5 with names" : "neither HTTP nor SOCKS5";
  passage.decide({ verdict: "deny", reason: "OTHER", detail });
  farewell(
    inbox.stream,
    begun === firstByte.socks4 ? Buffer.of(0, 91, 0, 0, 0, 0, 0, 0) : httpRefusal({ status: 403, reason: "OTHER", detail, close: true }),
  );
}

/** The first byte, left where it is; undefined when none came in time. */
async function firstOf(run: Run, inbox: Inbox): Promise<number | undefined> {
  using _ = new Alarm(run.limits.headMs, () => inbox.stream.destroy());
  if (await inbox.more()) return inbox.held[0];
  leave(inbox);
  return undefined;
}
