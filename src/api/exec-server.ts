import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { ExecSession } from "./contract.ts";
import { encodeFrame, execProtocol, type Frame, framePayloadLimit } from "./exec-stream.ts";
import { type FrameSocket, frameSocket } from "./frame-socket.ts";
import { errorBodyOf } from "./respond.ts";
import { roomIn } from "./room.ts";
import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

/** How long the caller may take to say what it wants to run. */
const requestDeadlineMs = 10_000;
const lingerMs = 5000;

/** Answers 101, reads the request frame, starts the session and carries its streams until the command has ended. Never throws. */
export async function serveExec(
  socket: Duplex,
  o: {
    head: Uint8Array;
    start: (body: unknown, progress: (line: string) => void) => Promise<ExecSession>;
    /** Called when the caller leaves, or wants an end, before anything runs. */
    callOff: () => void;
    log: Log;
  },
): Promise<void> {
  const { head, log } = o;
  socket.on("error", () => {});
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${execProtocol}\r\n\r\n`);
  const wire = frameSocket(socket, head);
  try {
    const frames = wire.frames()[Symbol.asyncIterator]();
    const request = await firstRequest(frames);
    const input = readAhead(frames, o.callOff);
    const session = await o.start(request, (line) => void wire.send({ kind: "progress", json: line }));
    const ended = new AbortController();
    session.exitCode.catch(() => {}).finally(() => ended.abort());
    void takeInput(input(), session, { log, ended: ended.signal });
    await giveOutput(wire, session);
  } catch (error) {
    await wire.send({ kind: "error", json: errorBodyOf(error, log) });
  } finally {
    wire.end();
    // The connection is half open until the caller closes its side; a caller that forgets must not keep it.
    setTimeout(() => socket.destroy(), lingerMs).unref();
  }
}

async function firstRequest(frames: AsyncIterator<Frame>): Promise<unknown> {
  const late = AbortSignal.timeout(requestDeadlineMs);
  const first = await Promise.race([frames.next(), once(late, "abort")]);
  if (Array.isArray(first)) throw new NexusError("timeout", "no request frame came on the exec connection");
  if (first.done === true || first.value.kind !== "request")
    throw new NexusError("usage", "an exec connection starts with a request frame");
  return first.value.json;
}

/**
 * Reads on while nothing runs yet, or a caller's leaving would go unnoticed. What comes is kept for the session, which `input` gives it,
 * as far as one frame may be large.
 */
function readAhead(frames: AsyncIterator<Frame>, callOff: () => void): () => Pick<AsyncIterator<Frame>, "next"> {
  const kept: Promise<IteratorResult<Frame>>[] = [];
  let waiting = true;
  let bytes = 0;
  const read = (): void => {
    const next = frames.next();
    kept.push(next);
    next.then(
      (result) => {
        if (!waiting) return;
        if (result.done === true || (result.value.kind === "signal" && endings.has(result.value.signal))) callOff();
        if (result.done === true) return;
        bytes += encodeFrame(result.value).length;
        if (bytes < framePayloadLimit) read();
      },
      () => waiting && callOff(),
    );
  };
  read();
  return () => {
    waiting = false;
    return { next: () => kept.shift() ?? frames.next() };
  };
}

const endings: ReadonlySet<NodeJS.Signals> = new Set(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]);

/** What the caller sends. When it hangs up, the command gets what a closed terminal sends: SIGHUP. */
async function takeInput(
  frames: Pick<AsyncIterator<Frame>, "next">,
  session: ExecSession,
  { log, ended }: { log: Log; ended: AbortSignal },
): Promise<void> {
  session.stdin.on("error", () => {});
  try {
    for (;;) {
      const next = await frames.next();
      if (next.done === true) break;
      await takeFrame(next.value, session);
    }
  } catch (error) {
    log.debug({ error: String(error) }, "an exec connection broke");
  }
  session.stdin.end();
  if (!ended.aborted) session.kill("SIGHUP");
}

async function takeFrame(frame: Frame, session: ExecSession): Promise<void> {
  switch (frame.kind) {
    case "stdin":
      // A command that never reads its input must not hold this forever: its end counts as room.
      if (!session.stdin.write(frame.bytes)) await roomIn(session.stdin, session.exitCode);
      return;
    case "stdin-end":
      session.stdin.end();
      return;
    case "resize":
      session.resize(frame.columns, frame.rows);
      return;
    case "signal":
      session.kill(frame.signal);
      return;
    case "request":
    case "stdout":
    case "stderr":
    case "exit":
    case "error":
    case "status":
    case "progress":
      throw new NexusError("usage", `a caller does not send ${frame.kind} frames here`);
  }
}

async function giveOutput(wire: FrameSocket, session: ExecSession): Promise<void> {
  if (session.status !== undefined) await wire.send({ kind: "status", json: session.status() });
  const pump = async (kind: "stdout" | "stderr", stream: NodeJS.ReadableStream) => {
    for await (const chunk of stream) await wire.send({ kind, bytes: typeof chunk === "string" ? Buffer.from(chunk) : chunk });
  };
  const pumps = [pump("stdout", session.stdout)];
  if (session.stderr !== undefined) pumps.push(pump("stderr", session.stderr));
  // Settled at once: a session that breaks off breaks its streams too, and nobody would catch those.
  const given = Promise.allSettled(pumps);
  const code = await session.exitCode;
  await given;
  if (session.status !== undefined) await wire.send({ kind: "status", json: session.status() });
  await wire.send({ kind: "exit", code });
}
