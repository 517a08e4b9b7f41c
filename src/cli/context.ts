import { accessSync, constants, existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Command } from "./command.ts";
import { makeOutput, type Output } from "./output.ts";
import type { Parsed } from "./parse.ts";
import { makeProgress, type Progress } from "./progress.ts";
import type { Client } from "../api/client.ts";
import { NexusError } from "../base/errors.ts";
import { defaultPlaces, ownSocketPaths, systemSocketPath } from "../spec/places.ts";

/** The process as a verb sees it; tests give their own. */
export type Io = {
  stdin: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };
  stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: Record<string, string | undefined>;
  uid: number;
};

/** The values of a command's flags. Asking for one the command does not declare is a defect. */
export type Flags = {
  on(name: string): boolean;
  text(name: string): string | undefined;
  many(name: string): string[];
  /** `otherWord`: what could be given instead, for the message. @throws NexusError usage when it is no number, or not a whole one when `whole` */
  number(name: string, kind: "whole" | "any", otherWord?: string): number | undefined;
};

export type VerbContext = {
  command: Command;
  flags: Flags;
  /** A positional argument, "" when it was optional and not given. */
  arg(name: string): string;
  rest: string[];
  io: Io;
  out: Output;
  socketPath: string;
  /** The daemon, started first when it is not running and this caller may. @throws NexusError daemon-unreachable */
  client(): Promise<Client>;
  /** The daemon only if it runs. */
  runningClient(): Promise<Client>;
  progress(): Progress;
  /** Aborts on the first Ctrl-C or SIGTERM, which then do not end the process. */
  interrupted(): AbortSignal;
};

/** Everything one verb needs; disposing closes connections and gives signals back. */
export function makeContext(parsed: Parsed, io: Io): VerbContext & Disposable {
  const flags = flagsOf(parsed);
  const socketPath = flags.text("socket") ?? (io.env["NEXUS_SOCKET"] || foundSocket(io));
  const out = makeOutput(io, flags.on("json"));
  const cleanups = new DisposableStack();
  let opened: Promise<Client> | undefined;
  const connect = async () => {
    await refuseForeign(socketPath, io);
    const client = (await import("../api/client.ts")).openClient(socketPath);
    cleanups.defer(() => client.close());
    return client;
  };
  return {
    command: parsed.command,
    flags,
    arg: (name) => parsed.args.get(name) ?? "",
    rest: parsed.rest,
    io,
    out,
    socketPath,
    client() {
      opened ??= ensureDaemon({ socketPath, mayStart: !flags.on("no-start"), io, note: out.note }).then(connect);
      return opened;
    },
    runningClient: () => (opened ??= connect()),
    progress: () => cleanups.use(makeProgress(io.stderr, out.json)),
    interrupted() {
      const controller = new AbortController();
      const stop = () => controller.abort();
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, stop);
        cleanups.defer(() => process.off(signal, stop));
      }
      return controller.signal;
    },
    [Symbol.dispose]: () => cleanups.dispose(),
  };
}

/** Root's daemon for whoever may use it, and else the user's own: where it serves, or would be started. */
function foundSocket(io: Io): string {
  if (io.uid === 0 || mayUse(systemSocketPath)) return systemSocketPath;
  return ownSocketPaths(io).find((path) => existsSync(path)) ?? defaultPlaces(io).socket;
}

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isOwnSocket(path: string, io: Io): boolean {
  return io.uid !== 0 && ownSocketPaths(io).includes(path);
}

/** A user's own socket counts only where nobody else can put one. @throws NexusError not-permitted */
export async function refuseForeign(socketPath: string, io: Io): Promise<void> {
  if (isOwnSocket(socketPath, io)) (await import("../api/own-directory.ts")).checkOwnDirectory(dirname(socketPath), io.uid);
}

type Wanted = { socketPath: string; mayStart: boolean; io: Io; note: (line: string) => void };

/** Starting is for root's daemon by root and for a user's own: a caller that names another socket means one that runs. */
async function ensureDaemon({ socketPath, mayStart, io, note }: Wanted): Promise<void> {
  const own = isOwnSocket(socketPath, io);
  if (!mayStart || (!own && (io.uid !== 0 || socketPath !== systemSocketPath))) return;
  await refuseForeign(socketPath, io);
  const { listensOn, startDaemon } = await import("./start-daemon.ts");
  if (existsSync(socketPath) && (await listensOn(socketPath))) return;
  note(own ? `nexus: starting a daemon of your own (user ${io.uid})` : "nexus: starting the daemon");
  await startDaemon({ socketPath, stateDir: defaultPlaces(io).stateDir, args: [] });
}

function flagsOf(parsed: Parsed): Flags {
  const declared = new Set(["json", "socket", "no-start", "help", ...(parsed.command.flags ?? []).map((f) => f.name)]);
  const values = (name: string) => {
    if (!declared.has(name)) throw new TypeError(`nexus ${parsed.command.path} declares no --${name}`);
    return parsed.flags.get(name);
  };
  return {
    on: (name) => values(name) !== undefined,
    text: (name) => values(name)?.at(-1),
    many: (name) => values(name) ?? [],
    number(name, kind, otherWord) {
      const text = values(name)?.at(-1);
      if (text === undefined) return undefined;
      if (!/^\d+(\.\d+)?$/.test(text) || (kind === "whole" && !/^\d+$/.test(text))) {
        const or = otherWord === undefined ? "" : ` or ${otherWord}`;
        throw new NexusError("usage", `--${name} takes a ${kind === "whole" ? "whole " : ""}number${or}, not "${text}"`);
      }
      return Number(text);
    },
  };
}
