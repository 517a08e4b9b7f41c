import { mkdtempSync, rmSync } from "node:fs";
import { PassThrough } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecSession, Handlers, Peer } from "../../src/api/contract.ts";
import { type ApiServer, startServer } from "../../src/api/server.ts";
import { NexusError } from "../../src/base/errors.ts";
import { type Log, type LogFields, silentLog } from "../../src/base/log.ts";

/** A door with nothing behind it: every handler refuses unless a test gives one. */
export type FakeDaemon = AsyncDisposable & {
  socketPath: string;
  directory: string;
  logged: { fields: LogFields; message: string }[];
  server: ApiServer;
};

export async function fakeDaemon(handlers: Partial<Handlers> = {}, peer: Peer = { uid: 0, gid: 0, pid: 1 }): Promise<FakeDaemon> {
  const directory = mkdtempSync(join(tmpdir(), "nexus-api-"));
  const socketPath = join(directory, "nexus.sock");
  const logged: FakeDaemon["logged"] = [];
  const log: Log = { ...silentLog, error: (fields, message) => void logged.push({ fields, message }) };
  const server = await startServer({
    socketPath,
    audience: { kind: "group", name: "nexus" },
    version: "0.0.0-test",
    handlers: withRefusals(handlers),
    peerOf: () => peer,
    log,
  });
  return {
    socketPath,
    directory,
    logged,
    server,
    async [Symbol.asyncDispose]() {
      await server.close(200);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function withRefusals(handlers: Partial<Handlers>): Handlers {
  const health: Handlers["health"] = async () => ({ status: "ok" });
  const refuse = (id: string) => async () => {
    throw new NexusError("unsupported", `this test has no ${id}`);
  };
  return new Proxy({ health, ...handlers } as Handlers, { get: (target, id: string) => target[id as keyof Handlers] ?? refuse(id) });
}

/** A command that is a function from its streams to an exit code. */
export function fakeSession(
  run: (io: {
    stdin: PassThrough;
    stdout: PassThrough;
    stderr: PassThrough;
    signals: string[];
    sizes: string[];
    signalled: Promise<string>;
  }) => Promise<number>,
): ExecSession & { signals: string[]; sizes: string[] } {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const signals: string[] = [];
  const sizes: string[] = [];
  const { promise: signalled, resolve } = Promise.withResolvers<string>();
  const exitCode = run({ stdin, stdout, stderr, signals, sizes, signalled }).finally(() => {
    stdout.end();
    stderr.end();
  });
  return {
    stdin,
    stdout,
    stderr,
    signals,
    sizes,
    exitCode,
    resize: (columns, rows) => void sizes.push(`${columns}x${rows}`),
    kill(signal) {
      signals.push(signal);
      resolve(signal);
    },
  };
}
