import type * as Http from "node:http";
import { errorFromBody, unreachableError } from "./client-errors.ts";
import { execProtocol, type Frame } from "./exec-stream.ts";
import { type FrameSocket, frameSocket } from "./frame-socket.ts";
import type { ExecRequestInput } from "./routes.ts";
import { NexusError } from "../base/errors.ts";
import type { RunSpecInput } from "../spec/run.ts";

/** A command running in a guest, seen from the caller. */
export type ExecCall = {
  /** Sends input, resizes, signals; resolves when the daemon has room for more. */
  send(frame: Extract<Frame, { kind: "stdin" | "stdin-end" | "resize" | "signal" }>): Promise<void>;
  /** Gives the output to `write` in order and resolves with the exit code. @throws NexusError when it could not run */
  finish(write: Write, onStatus?: (status: unknown) => void, onProgress?: (line: string) => void): Promise<number>;
  /** Hangs up; the command gets SIGHUP. */
  close(): void;
};

type Write = (stream: "stdout" | "stderr", bytes: Uint8Array) => Promise<void> | void;

/** Asks for the upgrade and sends the request. @throws NexusError daemon-unreachable */
export async function execOver(
  to: { http: typeof Http; socketPath: string; path: string },
  request: ExecRequestInput | RunSpecInput | Record<string, never>,
): Promise<ExecCall> {
  const { promise, resolve, reject } = Promise.withResolvers<FrameSocket & { destroy(): void }>();
  const call = to.http.request({
    socketPath: to.socketPath,
    path: to.path,
    method: "POST",
    headers: { host: "nexus", connection: "Upgrade", upgrade: execProtocol },
  });
  call.on("upgrade", (_response, socket, head) => {
    socket.on("error", () => {});
    resolve({ ...frameSocket(socket, head), destroy: () => socket.destroy() });
  });
  call.on("response", (response) =>
    reject(new NexusError("internal", `the daemon answered ${response.statusCode} instead of upgrading the connection`)),
  );
  call.on("error", (error) => reject(unreachableError(error, to.socketPath)));
  call.end();
  const wire = await promise;
  await wire.send({ kind: "request", json: request });
  return {
    send: (frame) => wire.send(frame),
    finish: (write, onStatus, onProgress) => finish(wire, { write, onStatus, onProgress }, to.socketPath),
    close: () => wire.destroy(),
  };
}

async function finish(
  wire: FrameSocket & { destroy(): void },
  to: { write: Write; onStatus: ((status: unknown) => void) | undefined; onProgress: ((line: string) => void) | undefined },
  socketPath: string,
): Promise<number> {
  try {
    for await (const frame of wire.frames()) {
      switch (frame.kind) {
        case "stdout":
        case "stderr":
          await to.write(frame.kind, frame.bytes);
          break;
        case "status":
          to.onStatus?.(frame.json);
          break;
        case "progress":
          to.onProgress?.(String(frame.json));
          break;
        case "exit":
          return frame.code;
        case "error":
          throw errorFromBody({ error: frame.json }, 500);
        case "request":
        case "stdin":
        case "stdin-end":
        case "resize":
        case "signal":
          throw new NexusError("internal", `the daemon sent a ${frame.kind} frame`);
      }
    }
  } finally {
    wire.destroy();
  }
  throw unreachableError(new Error("the connection was cut before the command ended"), socketPath);
}
