import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Ip } from "../base/ip.ts";
import { isFault, parseName } from "../base/names.ts";
import type { World } from "./world.ts";

/** A guest's address and the names it has for the host. */
export type HostLine = { address: Ip; names: readonly string[] };

const begin = "# nexus begin: guests by name, written by nexusd";
const end = "# nexus end";

/** A part of hosts(5) between two marks; all else in the file stays as it is. */
export class HostsFile {
  #path: string | undefined;
  #written: string | undefined;
  readonly #onProblem: (problem: string) => void;

  constructor(onProblem: (problem: string) => void) {
    this.#onProblem = onProblem;
  }

  /** Which file from now on; undefined is none, and what was in the one before goes from it. */
  use(path: string | undefined): void {
    if (path === this.#path) return;
    if (this.#path !== undefined) this.#put("");
    this.#path = path;
    this.#written = undefined;
  }

  /** Brings the file to these lines, unless it has them. They are not asked for while there is no file. */
  set(lines: () => readonly HostLine[]): void {
    if (this.#path === undefined) return;
    const text = lines()
      .map(({ address, names }) => `${address} ${names.join(" ")}\n`)
      .join("");
    if (text !== this.#written) this.#put(text);
  }

  #put(lines: string): void {
    const path = this.#path;
    if (path === undefined) return;
    try {
      const before = readFileSync(path, "utf8");
      const after = withBlock(before, lines);
      if (after !== before) replace(path, after);
      this.#written = lines;
    } catch (error) {
      this.#onProblem(`names cannot be written to ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** The text with the marked part replaced, or without it when there is nothing to say. */
export function withBlock(text: string, lines: string): string {
  const from = text.indexOf(`${begin}\n`);
  const mark = text.indexOf(`${end}\n`, from);
  // A part whose end somebody has taken away reaches to the end of its own first line: the rest may be another's.
  const to = mark === -1 ? from + begin.length + 1 : mark + end.length + 1;
  const [head, tail] = from === -1 ? [text, ""] : [text.slice(0, from), text.slice(to)];
  if (lines === "") return head + tail;
  const gap = head === "" || head.endsWith("\n") ? "" : "\n";
  return `${head}${gap}${begin}\n${lines}${end}\n${tail}`;
}

/** In one step; a file that is mounted over, as in containers, can only be written in place. */
function replace(path: string, text: string): void {
  const { mode, uid, gid } = statSync(path);
  const next = `${path}.nexus`;
  try {
    writeFileSync(next, text, { mode: mode & 0o777, flush: true });
    const made = statSync(next);
    if (made.uid === uid && made.gid === gid) return renameSync(next, path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EBUSY")) {
      rmSync(next, { force: true });
      throw error;
    }
  }
  rmSync(next, { force: true });
  writeFileSync(path, text, { flush: true });
}

/** The addresses of live guests with one of the names that `hostLines` has. */
export function addressesNamed(world: World, domain: string, name: string): Ip[] {
  const [first, second, ...rest] = name.split(".");
  if (rest.join(".") !== domain) return [];
  return [...world.live]
    .flatMap((live) => world.guests.get(live) ?? [])
    .flatMap((guest) => {
      const labels = guest.kind === "netns" ? {} : guest.spec.labels;
      const ofProject = labels["nexus.service"] === first && labels["nexus.project"] === second;
      return guest.leases.filter(({ network }) => ofProject || (guest.name === first && network === second)).map(({ address }) => address);
    });
}

/** Every live guest: `web.lan.nexus` on each of its networks, and `web.shop.nexus` when it is of a project. */
export function hostLines(world: World, domain: string): HostLine[] {
  return [...world.live]
    .flatMap((name) => world.guests.get(name) ?? [])
    .flatMap((guest) => {
      const labels = guest.kind === "netns" ? {} : guest.spec.labels;
      // Anybody may label a guest with any text: only names are written where programs look for them.
      const [service, project] = [parseName(labels["nexus.service"] ?? ""), parseName(labels["nexus.project"] ?? "")];
      const ofProject = isFault(service) || isFault(project) ? [] : [`${service}.${project}.${domain}`];
      return guest.leases.map(({ address, network }) => ({ address, names: [`${guest.name}.${network}.${domain}`, ...ofProject] }));
    })
    .toSorted((a, b) => ((a.names[0] ?? "") + a.address < (b.names[0] ?? "") + b.address ? -1 : 1));
}
