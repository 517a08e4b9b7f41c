import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { type Ip, isIpv4 } from "../../../src/base/ip.ts";
import { frame, FrameReader } from "../../../src/services/dns/frames.ts";
import type { Upstream } from "../../../src/services/dns/upstream.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../src/wire/dns/message.ts";
import { freePort, ip } from "./sample.ts";

/** What it says to a query: messages to send, none to be silent. */
export type Script = (query: Message, over: "udp" | "tcp") => (Message | Buffer)[];

/** A resolver under the test's control on loopback; `queries` is everything it was asked. */
export class FakeUpstream implements AsyncDisposable {
  readonly queries: { query: Message; over: "udp" | "tcp" }[] = [];
  readonly upstream: Upstream;
  readonly #close: () => Promise<void>;

  private constructor(upstream: Upstream, close: () => Promise<void>) {
    this.upstream = upstream;
    this.#close = close;
  }

  static async start(script: Script, at?: Upstream): Promise<FakeUpstream> {
    const upstream = at ?? { address: ip("127.0.0.1"), port: await freePort("127.0.0.1") };
    const udp = createSocket("udp4");
    const sockets = new Set<Socket>();
    const tcp = createServer((socket) => {
      sockets.add(socket);
      const reader = new FrameReader(0xffff);
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk: Buffer) => {
        for (const bytes of reader.push(chunk)) for (const reply of answers(bytes, "tcp")) socket.write(frame(reply));
      });
    });
    const fake = new FakeUpstream(upstream, async () => {
      for (const socket of sockets) socket.destroy();
      udp.close();
      tcp.close();
      await Promise.all([once(udp, "close"), once(tcp, "close")]);
    });
    const answers = (bytes: Buffer, over: "udp" | "tcp") => {
      const query = decodeMessage(bytes);
      fake.queries.push({ query, over });
      return script(query, over).map((reply) => (Buffer.isBuffer(reply) ? reply : encodeMessage(reply).bytes));
    };
    udp.on("message", (bytes, from) => {
      for (const reply of answers(bytes, "udp")) udp.send(reply, from.port, from.address);
    });
    udp.bind(upstream.port, upstream.address);
    tcp.listen(upstream.port, upstream.address);
    await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
    return fake;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** A reply to the query with one address. */
export function addressReply(query: Message, address: Ip, ttl: number): Message {
  if (!isIpv4(address)) throw new TypeError("IPv4 only");
  return { ...replyTo(query, 0), answers: [{ name: query.questions[0]?.name ?? "", class: 1, ttl, data: { kind: "A", address } }] };
}

/** An empty reply with a response code. */
export function replyTo(query: Message, code: number): Message {
  return { id: query.id, flags: 0x8180 | code, questions: query.questions, answers: [], authorities: [], additionals: [] };
}
