import { resolve } from "node:path";
import { passInput, passSignals, sizeOf, useTerminal, writeOut } from "../call-streams.ts";
import type { VerbContext } from "../context.ts";
import { printError } from "../output.ts";
import { remarksOn } from "../run-text.ts";
import { NexusError } from "../../base/errors.ts";
import { parseDuration } from "../../spec/flags.ts";
import type { RunSpecInput } from "../../spec/run.ts";
import type { RunView } from "../../spec/run-view.ts";

/** Runs a command in a sandbox with this terminal or these pipes. Its exit code is the command's; 125 when nothing could be run. */
export async function run(c: VerbContext): Promise<number> {
  if (c.rest.length === 0)
    throw new NexusError("usage", "nexus run: the command is missing", { hint: `it follows --, for example: ${c.command.example}` });
  const request = await requestOf(c);
  try {
    return await (c.flags.on("detach") ? detached(c, request) : attached(c, request));
  } catch (error) {
    if (!(error instanceof NexusError) || error.code === "usage" || error.code === "spec-invalid") throw error;
    printError(c.io, error, c.out.json);
    return couldNotRun;
  }
}

/** As env(1), timeout(1) and others have it: the tool failed, and not what it was to run. */
const couldNotRun = 125;

async function detached(c: VerbContext, request: RunSpecInput): Promise<number> {
  const view = await (await c.client()).call("run.create", { body: request });
  c.out.result(view, () => `${view.id}\n`);
  return 0;
}

async function attached(c: VerbContext, request: RunSpecInput): Promise<number> {
  const { io, out } = c;
  const client = await c.client();
  const call = await client.run(request);
  let view: RunView | undefined;
  {
    using cleanups = new DisposableStack();
    if (request.terminal !== undefined) useTerminal(io, call, cleanups);
    else passSignals(call, cleanups);
    cleanups.defer(passInput(io, call));
    const write = out.json ? () => undefined : (stream: "stdout" | "stderr", bytes: Uint8Array) => writeOut(io, stream, bytes);
    using progress = c.progress();
    const begun = (status: unknown) => {
      view = status as RunView;
      progress[Symbol.dispose]();
    };
    const code = await call.finish(write, begun, (line) => io.stderr.isTTY === true && progress.show(line));
    if (view === undefined) return code;
  }
  const ended: RunView = view;
  if (out.json) {
    const text = async (stream: "stdout" | "stderr") => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await client.bytes("run.logs", { params: { id: ended.id }, query: { stream } })) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    };
    out.result({ ...ended, stdout: await text("stdout"), stderr: await text("stderr") }, () => "");
  }
  for (const remark of remarksOn(ended)) out.note(`nexus: ${remark}`);
  return ended.code ?? couldNotRun;
}

/** What the words ask for; what they leave out, the daemon decides. */
async function requestOf(c: VerbContext): Promise<RunSpecInput> {
  const { envOf, imageOf, memOf } = await import("../guest-flags.ts");
  const { flags, io } = c;
  const terminal = flags.on("tty");
  if (terminal && (io.stdin.isTTY !== true || flags.on("detach")))
    throw new NexusError("usage", "nexus run: --tty needs a terminal as input, and somebody who watches", { hint: "leave --tty out" });
  const duration = (name: string) => ifGiven(flags.text(name), (text) => parseDuration(`--${name}`, text));
  return dropUndefined({
    command: c.rest,
    profile: flags.text("profile"),
    driver: flags.text("driver"),
    image: imageOf(c),
    rootfs: ifGiven(flags.text("rootfs"), (text) => (/^(host|auto)$|:\/\//.test(text) ? text : pathFor(text, io.env["HOME"]))),
    net: dropUndefined({ mode: flags.text("net"), allow: flags.many("allow") }),
    facility: ifGiven(flags.text("facility"), (text) => placeFor(text, io.env["HOME"])),
    cwd: flags.text("cwd"),
    env: { ...(terminal ? { TERM: io.env["TERM"] ?? "xterm" } : {}), ...envOf(c) },
    timeoutMs: duration("timeout"),
    graceMs: duration("grace"),
    mem: memOf(c),
    cpus: flags.number("cpus", "any"),
    pids: flags.number("pids", "whole"),
    disk: flags.text("disk"),
    outputLimit: flags.text("output-limit"),
    terminal: terminal ? sizeOf(io) : undefined,
  }) as RunSpecInput;
}

/** A word alone is a facility's name; whatever looks like a path is a directory, absolute here. */
function placeFor(text: string, home: string | undefined): string {
  return /^[.~]|\//.test(text) ? pathFor(text, home) : text;
}

function pathFor(text: string, home: string | undefined): string {
  return home !== undefined && (text === "~" || text.startsWith("~/")) ? resolve(home, `.${text.slice(1)}`) : resolve(text);
}

function ifGiven<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

function dropUndefined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
