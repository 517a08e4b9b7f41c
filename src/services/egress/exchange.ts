import { WireError } from "../../base/errors.ts";
import { bodyReader, chunkOf, lastChunk } from "../../wire/http1/body.ts";
import { type Framing, readHead } from "../../wire/http1/head.ts";
import type { RequestHead } from "../../wire/http1/request.ts";
import { parseResponse, type ResponseHead } from "../../wire/http1/response.ts";
import { type Destination, hostText } from "./destination.ts";
import { type Inbox, send } from "./inbox.ts";
import type { Passage } from "./passage.ts";
import { httpRefusal, leave } from "./reply.ts";
import type { Run } from "./run.ts";
import { reset } from "./tunnel.ts";
import type { Upstream } from "./upstream.ts";

export type Exchange = {
  run: Run;
  inbox: Inbox;
  passage: Passage;
  request: RequestHead;
  path: string;
  to: Destination;
  upstream: Upstream;
};

/** Passes one request on and its response back, both framed anew. True when the client's connection can take another request. */
export async function exchange(one: Exchange): Promise<boolean> {
  const { run, inbox, passage, upstream } = one;
  const { socket } = upstream;
  const stop = () => {
    reset(inbox.stream);
    reset(socket);
  };
  passage.stopped.addEventListener("abort", stop);
  if (passage.stopped.aborted) stop();
  const total = setTimeout(() => passage.stop("open for too long"), run.limits.totalMs);
  socket.setTimeout(run.limits.idleMs, () => passage.stop("idle for too long"));
  let passed: Passed = { stays: false, reusable: false };
  try {
    passed = await passBoth(one);
    return passed.stays;
  } finally {
    clearTimeout(total);
    socket.setTimeout(0);
    socket.removeAllListeners("timeout");
    passage.stopped.removeEventListener("abort", stop);
    // Last, since whoever takes it next sets the same things anew.
    if (passed.reusable) run.idle.keep(upstream);
    else upstream[Symbol.dispose]();
    if (!passed.stays) leave(inbox);
  }
}

/** Whether the client's connection stays for another request, and whether the server's can take one. */
type Passed = { stays: boolean; reusable: boolean };

async function passBoth({ run, inbox, passage, request, path, to, upstream }: Exchange): Promise<Passed> {
  const { socket, inbox: answers } = upstream;
  const head = requestHead(request, path, to);
  passage.carried("up", head.length);
  socket.write(head);
  if (request.expectsContinue) inbox.stream.write("HTTP/1.1 100 Continue\r\n\r\n");
  let sent = request.framing.kind === "none";
  if (!sent) {
    const body = { to: socket, chunked: request.framing.kind === "chunked", count: (bytes: number) => passage.carried("up", bytes) };
    // A server may answer before it has the whole body; the connection then ends with the answer.
    passBody(inbox, request.framing, body).then((end) => {
      sent = end === undefined;
      if (end === undefined || end === receiverGone) return;
      passage.decide({ verdict: "deny", reason: "OTHER", detail: `in the request ${end}` });
      socket.destroy();
    }, run.fault.bind(run));
  }
  const response = await readResponse(run, answers, { passage, method: request.method });
  if ("fault" in response) {
    if (passage.allowed) passage.note(response.fault);
    const detail = passage.allowed ? response.fault : "the body of the request is broken";
    await send(inbox.stream, [httpRefusal({ status: passage.allowed ? 502 : 403, reason: "OTHER", detail, close: true })]);
    return { stays: false, reusable: false };
  }
  const chunked = request.version === 1 && (response.framing.kind === "chunked" || response.framing.kind === "close");
  const delimited = chunked || response.framing.kind === "none" || response.framing.kind === "length";
  const stays = request.keepAlive && sent && delimited;
  inbox.stream.write(responseHead(response, { chunked, close: !stays }));
  const body = { to: inbox.stream, chunked, count: (bytes: number) => passage.carried("down", bytes) };
  const end = await passBody(answers, response.framing, body);
  if (end === undefined) return { stays, reusable: response.keepAlive && sent };
  passage.note(`in the response ${end}`);
  // Cut, so that it is not taken for whole.
  reset(inbox.stream);
  return { stays: false, reusable: false };
}

/** Informational responses are of the connection before; at most so many are passed over. */
const maxInformational = 8;

async function readResponse(
  run: Run,
  answers: Inbox,
  { passage, method }: { passage: Passage; method: string },
): Promise<ResponseHead | { fault: string }> {
  const limits = { bytes: run.limits.headBytes, fields: run.limits.headFields };
  for (let i = 0; i <= maxInformational; i++) {
    let head = readHead(answers.held, limits);
    while (head.kind === "more") {
      if (!(await answers.more())) return { fault: "the server closed the connection without a response" };
      head = readHead(answers.held, limits);
    }
    if (head.kind === "fault") return { fault: `in the response ${head.problem}` };
    passage.carried("down", head.length);
    answers.use(head.length);
    const response = parseResponse(head.lines, method);
    if ("fault" in response) return { fault: `in the response ${response.fault}` };
    if (response.status === 101) return { fault: "the server left HTTP" };
    if (response.status >= 200) return response;
  }
  return { fault: "the server sends no final response" };
}

type Sink = { to: Inbox["stream"]; chunked: boolean; count: (bytes: number) => void };

const receiverGone = "the receiver went away";

/** Undefined when all of it went, or in words why not. */
async function passBody(from: Inbox, framing: Framing, sink: Sink): Promise<string | undefined> {
  const reader = bodyReader(framing);
  try {
    while (!reader.done) {
      if (from.held.length === 0 && !(await from.more())) {
        if (framing.kind !== "close" || from.stream.errored !== null) return "the body ended early";
        break;
      }
      const data = reader.push(from.take());
      from.held = reader.rest;
      sink.count(data.reduce((sum, part) => sum + part.length, 0));
      const out = sink.chunked ? chunkOf(data) : data;
      if (out.length > 0 && !(await send(sink.to, out))) return receiverGone;
    }
  } catch (error) {
    if (error instanceof WireError) return error.message;
    throw error;
  }
  return !sink.chunked || (await send(sink.to, [lastChunk])) ? undefined : receiverGone;
}

function requestHead(request: RequestHead, path: string, to: Destination): Buffer {
  const lines = [`${request.method} ${path} HTTP/1.1`, `Host: ${hostText(to)}${to.port === 80 ? "" : `:${to.port}`}`];
  for (const { name, value } of request.fields) lines.push(`${name}: ${value}`);
  if (request.framing.kind === "length") lines.push(`Content-Length: ${request.framing.bytes}`);
  if (request.framing.kind === "chunked") lines.push("Transfer-Encoding: chunked");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function responseHead(response: ResponseHead, { chunked, close }: { chunked: boolean; close: boolean }): Buffer {
  const lines = [`HTTP/1.1 ${response.status} ${response.phrase}`];
  for (const { name, value } of response.fields) lines.push(`${name}: ${value}`);
  if (response.framing.kind === "length") lines.push(`Content-Length: ${response.framing.bytes}`);
  if (chunked) lines.push("Transfer-Encoding: chunked");
  if (close) lines.push("Connection: close");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
