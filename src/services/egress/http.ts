import type { Socket } from "node:net";
import { isFault } from "../../base/names.ts";
import { parsePort, type Port } from "../../base/port.ts";
import { readHead } from "../../wire/http1/head.ts";
import { parseRequest, type RequestHead } from "../../wire/http1/request.ts";
import { Alarm } from "./alarm.ts";
import type { Allowance, Decision } from "./decide.ts";
import { type Destination, hostText, parseAuthority } from "./destination.ts";
import { exchange } from "./exchange.ts";
import { type Inbox, send } from "./inbox.ts";
import type { Passage } from "./passage.ts";
import { farewell, httpRefusal, leave, tlsAccessDenied } from "./reply.ts";
import type { Reached, Run } from "./run.ts";
import { carry, checkHello, reset } from "./tunnel.ts";
import { Upstream } from "./upstream.ts";

const httpPort = parsePort(80) as Port;
const tlsHandshake = 22;
const established = Buffer.from("HTTP/1.1 200 Connection established\r\n\r\n");

/** Requests one after the other on one connection, each judged by itself. Ends with the connection closed or carried to its end. */
export async function serveHttp(run: Run, inbox: Inbox): Promise<void> {
  for (let first = true; ; first = false) {
    const read = await nextRequest(run, inbox, first);
    if (read === undefined) return;
    const { passage, request } = read;
    using _ = passage;
    if (request.target.kind === "authority") return await connectTunnel(run, inbox, { passage, request });
    if (!(await plainRequest(run, inbox, { passage, request }))) return;
  }
}

type Asked = { passage: Passage; request: RequestHead };

/** The next head, its passage begun; undefined when there is none or it was refused, which ends the connection. */
async function nextRequest(run: Run, inbox: Inbox, first: boolean): Promise<Asked | undefined> {
  const { limits } = run;
  using alarm = new Alarm(first ? limits.headMs : limits.idleMs, () => inbox.stream.destroy());
  if (inbox.held.length === 0 && !(await inbox.more())) {
    leave(inbox);
    return undefined;
  }
  if (!first) alarm.set(limits.headMs);
  let head = readHead(inbox.held, { bytes: limits.headBytes, fields: limits.headFields });
  while (head.kind === "more") {
    if (!(await inbox.more())) {
      using passage = run.begin("-");
      passage.decide({
        verdict: "deny",
        reason: "OTHER",
        detail: alarm.rang ? "the head came too slowly" : "the connection ended within a head",
      });
      leave(inbox);
      return undefined;
    }
    head = readHead(inbox.held, { bytes: limits.headBytes, fields: limits.headFields });
  }
  const passage = run.begin("-");
  const request = head.kind === "head" ? parseRequest(head.lines) : { about: "shape" as const, problem: head.problem };
  if ("problem" in request) {
    using _ = passage;
    passage.method = request.method ?? "-";
    await run.turnstile.enter();
    refuse(inbox, passage, {
      verdict: "deny",
      reason: request.about === "target" ? "INVALID_DESTINATION" : "OTHER",
      detail: request.problem,
    });
    return undefined;
  }
  if (head.kind === "head") inbox.use(head.length);
  passage.method = request.method;
  await run.turnstile.enter();
  return { passage, request };
}

async function connectTunnel(run: Run, inbox: Inbox, { passage, request }: Asked): Promise<void> {
  const to = parseAuthority(request.target.kind === "authority" ? request.target.authority : "");
  const decision = isFault(to) ? invalid(to.fault) : run.judge(passage, to);
  if (isFault(to) || decision.verdict === "deny") return refuse(inbox, passage, decision);
  const reached = await run.reach(passage, to, decision);
  if (reached.kind !== "connected") return void (await notReached(inbox, passage, reached, true));
  inbox.stream.write(established);
  await openTunnel(run, inbox, { passage, to, upstream: reached.socket, decision });
}

/** From here on bytes pass as they are, after the check of the ClientHello where the rule demands TLS. */
export async function openTunnel(
  run: Run,
  inbox: Inbox,
  tunnel: { passage: Passage; to: Destination; upstream: Socket; decision: Allowance },
): Promise<void> {
  const { passage, to, upstream } = tunnel;
  const { protocol, rule } = tunnel.decision;
  const fault = protocol === "tls" ? await checkHello(inbox, to, passage, run.limits) : undefined;
  if (fault === undefined) return await carry(inbox, upstream, passage, run.limits);
  reset(upstream);
  const refused: Denial = { verdict: "deny", reason: "SNI_MISMATCH", rule, detail: fault };
  passage.decide(refused);
  // In the words of whom it is: TLS, or by the first letter perhaps HTTP.
  const first = inbox.release()[0] ?? 0;
  farewell(inbox.stream, first === tlsHandshake ? tlsAccessDenied : first >= 65 && first <= 90 ? refusal(refused, true) : Buffer.alloc(0));
}

/** True when the connection can take another request. */
async function plainRequest(run: Run, inbox: Inbox, { passage, request }: Asked): Promise<boolean> {
  const { target } = request;
  const to = target.kind === "absolute" ? parseAuthority(target.authority, httpPort) : { fault: "the request is one to a server" };
  if (target.kind !== "absolute" || isFault(to)) {
    refuse(inbox, passage, target.kind === "absolute" && isFault(to) ? invalid(to.fault) : proxyRequired);
    return false;
  }
  // A body that was announced is on its way, and would be read as the next request.
  const close = !request.keepAlive || request.framing.kind !== "none";
  const decision = plainOnly(run.judge(passage, to));
  passage.decide(decision);
  if (decision.verdict === "deny" && close) refuse(inbox, passage, decision);
  if (decision.verdict === "deny") return !close && (await send(inbox.stream, [refusal(decision, close)]));
  const place = `${hostText(to)}:${to.port}`;
  let upstream = run.idle.take(place);
  if (upstream !== undefined && run.judgeAddress(upstream.address, decision).verdict === "deny") {
    upstream[Symbol.dispose]();
    upstream = undefined;
  }
  if (upstream === undefined) {
    const reached = await run.reach(passage, to, decision);
    if (reached.kind !== "connected") return await notReached(inbox, passage, reached, close);
    upstream = new Upstream(place, reached);
  }
  passage.address = upstream.address;
  return await exchange({ run, inbox, passage, request, path: target.path, to, upstream });
}

function plainOnly(decision: Decision): Decision {
  if (decision.verdict === "deny" || decision.protocol === "tcp") return decision;
  return { verdict: "deny", reason: "SNI_MISMATCH", rule: decision.rule, detail: "the rule demands TLS, and this is plain HTTP" };
}

function invalid(detail: string): Denial {
  return { verdict: "deny", reason: "INVALID_DESTINATION", detail };
}

type Denial = Extract<Decision, { verdict: "deny" }>;

const proxyRequired: Denial = { verdict: "deny", reason: "PROXY_REQUIRED", detail: "the request is one to a server, and this is a proxy" };

function refusal(decision: Decision, close: boolean): Buffer {
  const detail = decision.verdict === "deny" ? (decision.detail ?? decision.rule) : undefined;
  return httpRefusal({ status: 403, reason: decision.reason, detail, close });
}

/** Ends the connection with the reason. */
function refuse(inbox: Inbox, passage: Passage, decision: Decision): void {
  passage.decide(decision);
  inbox.release();
  farewell(inbox.stream, refusal(decision, true));
}

async function notReached(inbox: Inbox, passage: Passage, reached: NotReached, close: boolean): Promise<boolean> {
  if (reached.kind === "failed") passage.note(`no connection: ${reached.code}`);
  const answer =
    reached.kind === "denied"
      ? refusal(reached.decision, close)
      : httpRefusal({ status: reached.late ? 504 : 502, reason: "OTHER", detail: `no connection: ${reached.code}`, close });
  if (!close) return await send(inbox.stream, [answer]);
  inbox.release();
  farewell(inbox.stream, answer);
  return false;
}

type NotReached = Exclude<Reached, { kind: "connected" }>;
