import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { isIpv4 } from "../../base/ip.ts";
import { decodeMessage, encodeMessage, type Message } from "../../wire/dns/message.ts";
import { ednsRecord } from "../../wire/dns/edns.ts";
import { type DnsName, foldName } from "../../wire/dns/name.ts";
import { headerFlag, responseCode, safePayloadBytes } from "../../wire/dns/numbers.ts";
import { type Upstream, upstreamHost } from "./upstream.ts";
import { frame, FrameReader } from "./frames.ts";

/** What is asked upstream. `name` is folded. */
export type UpstreamQuestion = { name: DnsName; type: number; class: number; dnssecOk: boolean; checkingDisabled: boolean };

/** `failed` says why in a few words: no route, port closed, a reply that is none. */
export type Outcome = { kind: "reply"; message: Message } | { kind: "failed"; reason: string };

/** Asks one upstream once; `done` is called at most once, and never after the disposal. */
export type Exchange = (upstream: Upstream, question: UpstreamQuestion, done: (outcome: Outcome) => void) => Disposable;

const resendMs = 1000;

/**
 * One question to one upstream: UDP from a socket of its own (so port and id are both unpredictable, RFC 5452 §9.2), sent
 * again each second, then TCP when the reply is truncated. Has no deadline of its own; the caller disposes.
 */
export const askUpstream: Exchange = (upstream, question, done) => {
  const attempt = new Attempt(upstream, question, done);
  attempt.overUdp(true);
  return attempt;
};

class Attempt implements Disposable {
  readonly #upstream: Upstream;
  readonly #question: UpstreamQuestion;
  readonly #done: (outcome: Outcome) => void;
  #close: () => void = () => {};
  #over = false;

  constructor(upstream: Upstream, question: UpstreamQuestion, done: (outcome: Outcome) => void) {
    this.#upstream = upstream;
    this.#question = question;
    this.#done = done;
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#close();
  }

  overUdp(withEdns: boolean): void {
    const id = randomInt(0x10000);
    const query = encodeQuery(this.#question, { id, withEdns });
    const socket = createSocket({ type: isIpv4(this.#upstream.address) ? "udp4" : "udp6", lookup: asIs });
    const send = () =>
      socket.send(query, (error) => {
        if (error !== null) this.#finish({ kind: "failed", reason: error.message });
      });
    const resend = setInterval(send, resendMs);
    let open = true;
    this.#close = () => {
      if (!open) return;
      open = false;
      clearInterval(resend);
      socket.close();
    };
    socket.on("error", (error) => this.#finish({ kind: "failed", reason: error.message }));
    socket.on("message", (bytes) => {
      const message = matchingReply(bytes, id, this.#question);
      if (this.#over || message === undefined) return;
      if (withEdns && refusesEdns(message)) this.#again(() => this.overUdp(false));
      else if ((message.flags & headerFlag.TC) !== 0) this.#again(() => this.#overTcp(withEdns));
      else this.#finish({ kind: "reply", message });
    });
    // With a callback its failure would go there instead of to "error".
    socket.on("connect", send);
    socket.connect(this.#upstream.port, upstreamHost(this.#upstream));
  }

  #overTcp(withEdns: boolean): void {
    const id = randomInt(0x10000);
    const socket = connect({ host: upstreamHost(this.#upstream), port: this.#upstream.port, noDelay: true });
    const reader = new FrameReader(0xffff);
    this.#close = () => socket.destroy();
    socket.on("error", (error) => this.#finish({ kind: "failed", reason: error.message }));
    socket.on("close", () => this.#finish({ kind: "failed", reason: "the connection closed before the reply" }));
    socket.on("connect", () => socket.write(frame(encodeQuery(this.#question, { id, withEdns }))));
    socket.on("data", (chunk: Buffer) => {
      for (const bytes of reader.push(chunk)) {
        const message = matchingReply(bytes, id, this.#question);
        if (message !== undefined) return this.#finish({ kind: "reply", message });
      }
    });
  }

  #again(next: () => void): void {
    this.#close();
    next();
  }

  #finish(outcome: Outcome): void {
    if (this.#over) return;
    this[Symbol.dispose]();
    this.#done(outcome);
  }
}

function encodeQuery(question: UpstreamQuestion, { id, withEdns }: { id: number; withEdns: boolean }): Buffer {
  const edns = ednsRecord({ payloadBytes: safePayloadBytes, extendedCode: 0, version: 0, dnssecOk: question.dnssecOk, options: [] });
  return encodeMessage({
    id,
    flags: headerFlag.RD | headerFlag.AD | (question.checkingDisabled ? headerFlag.CD : 0),
    questions: [{ name: question.name, type: question.type, class: question.class }],
    answers: [],
    authorities: [],
    additionals: withEdns ? [edns] : [],
  }).bytes;
}

/** The message when it answers this very question; anything else may be forged and is passed over (RFC 5452 §9.1). */
function matchingReply(bytes: Buffer, id: number, asked: UpstreamQuestion): Message | undefined {
  if (bytes.length < 12 || bytes.readUInt16BE(0) !== id) return undefined;
  let message: Message;
  try {
    message = decodeMessage(bytes);
  } catch {
    return undefined;
  }
  const question = message.questions[0];
  if ((message.flags & headerFlag.QR) === 0) return undefined;
  if (question === undefined) return refusesEdns(message) ? message : undefined;
  const same =
    message.questions.length === 1 &&
    question.type === asked.type &&
    question.class === asked.class &&
    foldName(question.name) === asked.name;
  return same ? message : undefined;
}

/** Servers older than EDNS answer it with one of these, some without the question (RFC 6891 §7). */
function refusesEdns(message: Message): boolean {
  const code = message.flags & 15;
  return code === responseCode.FORMERR || code === responseCode.NOTIMP;
}

/** Addresses need no look-up; the default would take a turn of the event loop for it. */
function asIs(host: string, _options: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, host, host.includes(":") ? 6 : 4);
}
