import { canonicalName } from "../../base/host-name.ts";
import { isFault } from "../../base/names.ts";
import { parsePort } from "../../base/port.ts";
import { greetingReply, readGreeting, readSocksRequest, type SocksReply, socksReply, socksReplyBytes } from "../../wire/socks/socks5.ts";
import { Alarm } from "./alarm.ts";
import type { Decision } from "./decide.ts";
import { type Destination, parseHost } from "./destination.ts";
import { openTunnel } from "./http.ts";
import type { Inbox } from "./inbox.ts";
import { farewell } from "./reply.ts";
import type { Run } from "./run.ts";

/** One SOCKS5 connection: greeting, CONNECT, then bytes. */
export async function serveSocks(run: Run, inbox: Inbox): Promise<void> {
  using passage = run.begin("SOCKS5");
  const say = (bytes: Buffer, decision: Decision) => {
    passage.decide(decision);
    inbox.release();
    farewell(inbox.stream, bytes);
  };
  const read = await readAll(run, inbox);
  if (read === undefined)
    return say(nothing, { verdict: "deny", reason: "OTHER", detail: "the connection ended within the SOCKS request" });
  await run.turnstile.enter();
  if ("problem" in read) return say(read.answer, { verdict: "deny", reason: "OTHER", detail: read.problem });
  const { to } = read;
  const decision: Decision = isFault(to) ? { verdict: "deny", reason: "INVALID_DESTINATION", detail: to.fault } : run.judge(passage, to);
  if (isFault(to) || decision.verdict === "deny") return say(socksReplyBytes(socksReply.notAllowed), decision);
  const reached = await run.reach(passage, to, decision);
  if (reached.kind === "denied") return say(socksReplyBytes(socksReply.notAllowed), reached.decision);
  if (reached.kind === "failed") {
    passage.note(`no connection: ${reached.code}`);
    return say(socksReplyBytes(replyFor(reached.code)), decision);
  }
  inbox.stream.write(socksReplyBytes(socksReply.succeeded));
  await openTunnel(run, inbox, { passage, to, upstream: reached.socket, decision });
}

const nothing = Buffer.alloc(0);

type Asked = { to: Destination | { fault: string } } | { problem: string; answer: Buffer };

/** Greeting and request; undefined when the client was too slow or went away. */
async function readAll(run: Run, inbox: Inbox): Promise<Asked | undefined> {
  using _ = new Alarm(run.limits.headMs, () => inbox.stream.destroy());
  let greeting = readGreeting(inbox.held);
  while (greeting.kind === "more") {
    if (!(await inbox.more())) return undefined;
    greeting = readGreeting(inbox.held);
  }
  if (greeting.kind === "fault") return { problem: greeting.problem, answer: greetingReply(false) };
  if (!greeting.anonymous) return { problem: "SOCKS: the client wants to sign in, which nobody can here", answer: greetingReply(false) };
  inbox.use(greeting.length);
  inbox.stream.write(greetingReply(true));
  let request = readSocksRequest(inbox.held);
  while (request.kind === "more") {
    if (!(await inbox.more())) return undefined;
    request = readSocksRequest(inbox.held);
  }
  if (request.kind === "fault") return { problem: request.problem, answer: socksReplyBytes(request.reply) };
  inbox.use(request.length);
  return { to: destinationOf(request) };
}

/** A name that is an address in its usual form is one, as in CONNECT. */
function destinationOf({
  to,
  port: number,
}: Extract<ReturnType<typeof readSocksRequest>, { kind: "request" }>): Destination | { fault: string } {
  const port = parsePort(number);
  if (port === undefined) return { fault: "the port is 0" };
  if ("address" in to) return { kind: "address", address: to.address, port };
  const name = canonicalName(to.host);
  if (!isFault(name)) return { kind: "name", name, port };
  const text = to.host.toString("latin1");
  return /^[0-9.]+$/.test(text) ? parseHost(text, port) : name;
}

function replyFor(code: string): SocksReply {
  if (code === "ECONNREFUSED") return socksReply.refused;
  return ["EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT"].includes(code) ? socksReply.hostUnreachable : socksReply.failure;
}
