import { basename } from "node:path";
import { randomUUID } from "node:crypto";
import { NexusError } from "../base/errors.ts";
import type { FileView } from "../spec/views.ts";
import type { FileWrite, GuestFiles } from "./guest-files.ts";
import type { GuestAgent } from "./qga.ts";
import type { Lease } from "./qemu-shared.ts";
import { readPiece, withFile, writePiece } from "./qga-files.ts";
import { readEntries } from "./vm-entries.ts";
import { refusalIn } from "./vm-refusal.ts";
import { type Ran, runScript } from "./qga-script.ts";

/**
 * Files of a virtual machine, by the agent in it. What the agent says is the guest's
 * word; it can lie about its own files, and nothing of ours is reached by that.
 */
export function agentFiles(name: string, lend: () => Promise<Lease<GuestAgent>>): GuestFiles {
  async function run(agent: GuestAgent, call: { script: string; path: string; more?: readonly string[] }): Promise<Ran> {
    const ran = await runScript(agent, call.script, [call.path, ...(call.more ?? [])]);
    if (ran.code !== 0) throw refusalIn(ran, name, call.path);
    return ran;
  }
  const stat = async (agent: GuestAgent, path: string): Promise<FileView> => {
    const [entry] = readEntries((await run(agent, { script: statScript, path })).stdout);
    if (entry === undefined) throw new NexusError("wire-invalid", `the guest ${name} says nothing about ${path}`);
    return { ...entry, name: basename(path) || "/" };
  };
  /** While files come and go, looking once is not enough. */
  async function listing(agent: GuestAgent, path: string, most: number): Promise<Buffer> {
    for (let tries = 1; ; tries++) {
      const ran = await runScript(agent, listScript, [path, String(most)]);
      if (ran.code === 0) return ran.stdout;
      if (ran.code !== changed || tries === mostTries) throw refusalIn(ran, name, path);
    }
  }
  async function statFile(agent: GuestAgent, path: string): Promise<FileView> {
    const file = await stat(agent, path);
    // The agent opens whatever it is told to, and would wait for a pipe's other end for ever.
    if (file.kind === "directory") throw new NexusError("wrong-state", `${name}: ${path} is a directory`);
    if (file.kind !== "file") throw new NexusError("unsupported", `${name}: ${path} is a ${file.kind}, not a file`);
    return file;
  }
  return {
    async stat(path) {
      using lease = await lend();
      const agent = lease.value;
      return await stat(agent, path);
    },
    async read(path, { offset, limitBytes }) {
      using stack = new DisposableStack();
      const agent = stack.use(await lend()).value;
      const file = await statFile(agent, path);
      const kept = stack.move();
      return { file, chunks: piecesOf(agent, kept, { path, offset, limitBytes: limitBytes ?? Infinity }) };
    },
    async write(path, content) {
      using lease = await lend();
      const agent = lease.value;
      const target = (await run(agent, { script: settleScript, path, more: [content.how] })).stdout.toString("utf8").slice(0, -1);
      if (content.how === "append" && (await isThere(agent, target))) await statFile(agent, target);
      await writeBy(agent, run, { target, content });
      return { ...(await stat(agent, target)), name: basename(path) };
    },
    async list(path, limit) {
      using lease = await lend();
      const agent = lease.value;
      const asked = Math.min(limit, mostEntries);
      const entries = readEntries(await listing(agent, path, asked + 1));
      const sorted = entries.slice(0, asked).toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
      return { entries: sorted, more: entries.length > asked };
    },
    async makeDirectory(path, mode) {
      using lease = await lend();
      const agent = lease.value;
      await run(agent, { script: mkdirScript, path, more: [mode.toString(8)] });
      return await stat(agent, path);
    },
    async remove(path, { recursive }) {
      using lease = await lend();
      const agent = lease.value;
      await run(agent, { script: removeScript, path, more: [recursive ? "recursive" : ""] });
    },
    async rename(from, to, { replace, follow }) {
      using lease = await lend();
      const agent = lease.value;
      await run(agent, { script: renameScript, path: from, more: [to, replace ? "replace" : "", follow ? "follow" : ""] });
    },
  };
}

type Run = (agent: GuestAgent, call: { script: string; path: string; more?: readonly string[] }) => Promise<Ran>;

/** Appends in place; anything else under another name first, which then takes the real one. */
async function writeBy(agent: GuestAgent, run: Run, { target, content }: { target: string; content: FileWrite }): Promise<void> {
  const mode = content.mode === undefined ? "" : content.mode.toString(8);
  if (content.how === "append") {
    await pour(agent, { path: target, mode: "a" }, content.bytes);
    if (mode !== "") await run(agent, { script: chmodScript, path: target, more: [mode] });
    return;
  }
  const fresh = `${target.slice(0, target.lastIndexOf("/") + 1)}.nexus-${randomUUID()}`;
  try {
    await run(agent, { script: freshScript, path: fresh });
    await pour(agent, { path: fresh, mode: "r+" }, content.bytes);
    await run(agent, { script: placeScript, path: target, more: [fresh, mode, content.how] });
  } catch (error) {
    if (!agent.closed) await runScript(agent, 'rm -f -- "$1"', [fresh]).catch(() => undefined);
    throw error;
  }
}

async function pour(agent: GuestAgent, file: { path: string; mode: string }, bytes: Uint8Array): Promise<void> {
  await withFile(agent, file, async (handle) => {
    for (let at = 0; at < bytes.length; at += pieceBytes) await writePiece(agent, handle, bytes.subarray(at, at + pieceBytes));
    await agent.command("guest-file-flush", { handle });
  });
}

async function isThere(agent: GuestAgent, path: string): Promise<boolean> {
  return (await runScript(agent, '[ -e "$1" ]', [path])).code === 0;
}

/** Lets go of the agent when the last piece is taken, or nobody takes any more. */
async function* piecesOf(
  agent: GuestAgent,
  kept: DisposableStack,
  part: { path: string; offset: number; limitBytes: number },
): AsyncGenerator<Uint8Array> {
  using _ = kept;
  const handle = Number(await agent.command("guest-file-open", { path: part.path, mode: "r" }));
  try {
    if (part.offset > 0) await agent.command("guest-file-seek", { handle, offset: part.offset, whence: "set" });
    for (let left = part.limitBytes; left > 0;) {
      const { bytes, end } = await readPiece(agent, handle, Math.min(left, pieceBytes));
      if (bytes.length > 0) yield bytes;
      left -= bytes.length;
      if (end || bytes.length === 0) return;
    }
  } finally {
    if (!agent.closed) await agent.command("guest-file-close", { handle });
  }
}

/** What listScript ends with when a file went away between its name and its stat. */
const changed = 11;
const mostTries = 5;
const pieceBytes = 256 * 1024;
/** Their names must fit into one command line of the guest. */
const mostEntries = 4096;

// What follows runs in the guest: POSIX sh with the tools of busybox or coreutils. Exit codes are errno(3)'s, for refusalIn.
const absent = '[ -e "$1" ] || [ -L "$1" ] || exit 2;';
/** Mode in hexadecimal, size, seconds, and after a NUL the name and another. */
const statLine = "stat -c '%f %s %Y'";
const statScript = `[ -e "$1" ] || exit 2; ${statLine.replace("stat", "stat -L")} -- "$1" && printf '\\0.\\0'`;
const listScript = `
[ -e "$1" ] || exit 2; [ -d "$1" ] || exit 20; cd -- "$1" || exit 13
most=$2; set --
any() { [ -e "$1" ] || [ -L "$1" ]; }
if any ./*; then set -- "$@" ./*; fi
if any ./.[!.]*; then set -- "$@" ./.[!.]*; fi
if any ./..?*; then set -- "$@" ./..?*; fi
[ $# -le "$most" ] || shift $(($# - most))
[ $# -gt 0 ] || exit 0
${statLine} -- "$@" || exit 11
printf '\\0'
for f in "$@"; do printf '%s\\0' "\${f#./}"; done`;
/** The end of all links, whether or not anything is there; a name that must be new is not followed. */
const settleScript = `
[ "$2" != create ] || { [ ! -e "$1" ] && [ ! -L "$1" ] || exit 17; printf '%s\\n' "$1"; exit; }
if [ -L "$1" ]; then readlink -f -- "$1" || exit 2; else printf '%s\\n' "$1"; fi`;
const freshScript = `umask 077; set -C; true >"$1" || { [ -d "\${1%/*}/" ] || exit 2; exit 13; }`;
const placeScript = `
if [ -e "$1" ]; then
  [ "$4" != create ] || exit 17
  [ ! -d "$1" ] || exit 21; [ -f "$1" ] || exit 95
  chown "$(stat -c %u:%g -- "$1")" "$2" || exit 1
  mode=\${3:-$(stat -c %a -- "$1")}
else mode=\${3:-644}; fi
chmod "0$(printf %o $((0$mode & 0777)))" "$2" && sync && mv -f -- "$2" "$1" || exit 5`;
const chmodScript = 'chmod "0$2" "$1"';
const mkdirScript = `
[ ! -d "$1" ] || exit 0; [ ! -e "$1" ] || exit 20
mkdir -p -- "$1" && chmod "0$2" "$1" || exit 20`;
const removeScript = `${absent}
if [ -n "$2" ]; then rm -rf -- "$1" || exit 16
elif [ -d "$1" ] && [ ! -L "$1" ]; then [ -z "$(ls -A -- "$1")" ] || exit 39; rmdir -- "$1" || exit 16
else rm -f -- "$1" || exit 1; fi`;
const renameScript = `${absent}
if [ -n "$4" ] && [ -L "$2" ]; then set -- "$1" "$(readlink -f -- "$2")" "$3"; [ -n "$2" ] || exit 2; fi
if [ -e "$2" ] || [ -L "$2" ]; then [ -n "$3" ] || exit 17; [ ! -d "$2" ] || [ -L "$2" ] || exit 21; fi
[ -d "\${2%/*}/" ] || exit 2
mv -f -- "$1" "$2" || exit 18`;
