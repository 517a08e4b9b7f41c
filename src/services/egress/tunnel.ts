import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { canonicalName } from "../../base/host-name.ts";
import { isFault } from "../../base/names.ts";
import { type ClientHello, ClientHelloReader } from "../../wire/tls/client-hello.ts";
import { Alarm } from "./alarm.ts";
import type { Destination } from "./destination.ts";
import type { Inbox } from "./inbox.ts";
import type { EgressLimits } from "./limits.ts";
import type { Passage } from "./passage.ts";

/**
 * Waits for the ClientHello and checks that it names the host that was judged; its bytes stay held. Gives why not, or undefined.
 * The name is all that can be seen without opening the connection: with ECH it is the outer one.
 */
export async function checkHello(inbox: Inbox, to: Destination, passage: Passage, limits: EgressLimits): Promise<string | undefined> {
  using _ = new Alarm(limits.headMs, () => inbox.stream.destroy());
  const reader = new ClientHelloReader(limits.headBytes);
  let read = inbox.held.length === 0 ? ({ kind: "more" } as const) : reader.push(inbox.held);
  while (read.kind === "more") {
    const before = inbox.held.length;
    if (!(await inbox.more())) return "the connection ended before a TLS ClientHello";
    read = reader.push(inbox.held.subarray(before));
  }
  if (read.kind === "fault") return read.problem;
  return helloFault(read.hello, to, passage);
}

function helloFault(hello: ClientHello, to: Destination, passage: Passage): string | undefined {
  if (hello.name === undefined) return "the ClientHello names no host";
  const name = canonicalName(hello.name);
  if (isFault(name)) return `in the ClientHello ${name.fault}`;
  if (to.kind !== "name" || name !== to.name) return `the ClientHello names ${name}`;
  if (hello.ech) passage.note("ECH: the name inside is not known");
  return undefined;
}

/** Carries bytes both ways until both directions have ended; each ends by itself, and a reset on one side is a reset on the other. */
export function carry(inbox: Inbox, upstream: Socket, passage: Passage, limits: EgressLimits): Promise<void> {
  const client = inbox.stream;
  const early = inbox.release();
  const total = setTimeout(() => passage.stop("open for too long"), limits.totalMs);
  upstream.setTimeout(limits.idleMs, () => passage.stop("idle for too long"));
  if (early.length > 0) {
    passage.carried("up", early.length);
    upstream.write(early);
  }
  client.on("data", (chunk: Buffer) => passage.carried("up", chunk.length));
  upstream.on("data", (chunk: Buffer) => passage.carried("down", chunk.length));
  return new Promise((resolve) => {
    let open = 2;
    const closed = (other: Duplex) => (failed: boolean) => {
      if (failed || !other.writableEnded) reset(other);
      if (--open > 0) return;
      clearTimeout(total);
      resolve();
    };
    const whenClosed = (stream: Duplex, other: Duplex) => {
      if (stream.closed) closed(other)(stream.errored !== null);
      else stream.once("close", closed(other));
    };
    passage.stopped.addEventListener("abort", () => {
      reset(client);
      reset(upstream);
    });
    whenClosed(client, upstream);
    whenClosed(upstream, client);
    if (client.readableEnded) upstream.end();
    else client.pipe(upstream);
    upstream.pipe(client);
    if (passage.stopped.aborted) {
      reset(client);
      reset(upstream);
    }
  });
}

/** A reset where there is such a thing, so that no peer takes a cut connection for a finished one. */
export function reset(stream: Duplex): void {
  if ("resetAndDestroy" in stream) (stream as Socket).resetAndDestroy();
  else stream.destroy();
}
