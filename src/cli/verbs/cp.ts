import { once } from "node:events";
import { guestNamed } from "../compose/targets.ts";
import type { VerbContext } from "../context.ts";
import { type Copied, copy, counted, type OnProgress } from "../copy/copy.ts";
import { guestPlace } from "../copy/guest-place.ts";
import { localPlace } from "../copy/local-place.ts";
import { type Place, plainName } from "../copy/place.ts";
import { bytesText } from "../figures.ts";
import { NexusError } from "../../base/errors.ts";

type End = { kind: "stream" } | { kind: "local"; path: string } | { kind: "guest"; guest: string; path: string };

/** Copies between guests and this machine, or between a guest and a pipe. */
export async function cp(c: VerbContext): Promise<number> {
  const signal = c.interrupted();
  // Input that is waited for would wait on.
  signal.addEventListener("abort", () => c.io.stdin.destroy(), { once: true });
  try {
    await copyEnds(c, signal);
    return 0;
  } catch (error) {
    if (signal.aborted) return interruptedExit;
    throw error;
  }
}

/** 128 + SIGINT, as a shell has it. */
const interruptedExit = 130;

/** Interrupted, it ends at the next piece, and what was begun is taken away again. */
async function copyEnds(c: VerbContext, signal: AbortSignal): Promise<void> {
  const [from, to] = [readEnd(c.arg("SRC")), readEnd(c.arg("DST"))];
  if (from.kind !== "guest" && to.kind !== "guest")
    throw new NexusError("usage", "nexus cp: neither side is in a guest", { hint: "for example: nexus cp web:/etc/hosts ." });
  const client = await c.client();
  const placeOf = async ({ path, ...end }: Exclude<End, { kind: "stream" }>): Promise<{ place: Place; path: string }> => {
    if (end.kind === "local") return { place: localPlace, path };
    const { name } = await guestNamed(c, client, end.guest);
    return { place: guestPlace(client, name), path };
  };
  using progress = c.progress();
  if (to.kind === "stream") {
    if (from.kind === "stream") return;
    const { place, path } = await placeOf(from);
    for await (const chunk of await place.read(path)) if (!c.io.stdout.write(chunk)) await once(c.io.stdout, "drain", { signal });
    return;
  }
  const destination = await placeOf(to);
  const everyMs = c.io.stderr.isTTY === true ? 100 : 5000;
  let shownAt = performance.now();
  const show = (what: string, bytes: number) => {
    signal.throwIfAborted();
    if (performance.now() - shownAt < everyMs) return;
    shownAt = performance.now();
    progress.show(`${plainName(what)}  ${bytesText(bytes)}`);
  };
  const done = from.kind === "stream" ? await fromInput(c, destination, show) : await copy(await placeOf(from), destination, show);
  progress[Symbol.dispose]();
  for (const left of done.leftOut) c.out.note(`nexus: left out: ${left}`);
  c.out.result(done, () => "");
}

async function fromInput(c: VerbContext, { place, path }: { place: Place; path: string }, show: OnProgress): Promise<Copied> {
  const there = await place.stat(path);
  if (there?.kind === "directory") throw new NexusError("wrong-state", `${place.shown(path)} is a directory`);
  const done: Copied = { files: 1, bytes: 0, leftOut: [] };
  const tell = (size: number) => show("standard input", (done.bytes += size));
  await place.write(path, counted(c.io.stdin as AsyncIterable<Uint8Array>, tell), there?.mode ?? 0o644);
  return done;
}

/** `NAME:/PATH`, `-`, or a path here; one here that looks like the first is written ./NAME:/PATH. */
function readEnd(word: string): End {
  if (word === "-") return { kind: "stream" };
  const match = /^([a-z0-9][a-z0-9-]*):(.*)$/s.exec(word);
  if (match === null) return { kind: "local", path: word };
  const [, guest = "", path = ""] = match;
  if (!path.startsWith("/"))
    throw new NexusError("usage", `nexus cp: a path inside a guest begins with /: ${guest}:/${path}`, {
      hint: `a file here is written ./${word}`,
    });
  return { kind: "guest", guest, path };
}
