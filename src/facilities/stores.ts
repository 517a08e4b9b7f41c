import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { removeTree } from "../guests/remove-tree.ts";
import { Rooted } from "../kernel/rooted.ts";
import { runConfined } from "./confine.ts";
import { gitEnvironment } from "./git-environment.ts";
import { importStream, type Manifest } from "./import-stream.ts";
import { LeftOut } from "./left-out.ts";
import type { FacilityPlace } from "./place.ts";
import { program } from "./programs.ts";
import { survey } from "./survey.ts";
import type { ToolOptions, ToolResult } from "./tool.ts";

/** A moment that is remembered: when the facility was made, and when a run last asked. */
export type Moment = (typeof moments)[number];
const moments = ["create", "run"] as const;

/**
 * What the files were at a moment: a tree in a repository of ours that no sandbox sees, and what each looked like. Everything is below
 * `directory`/remembered.
 */
export class Stores {
  readonly #place: FacilityPlace;
  readonly #directory: string;

  constructor(place: FacilityPlace) {
    this.#place = place;
    this.#directory = join(place.directory, "remembered");
  }

  has(moment: Moment): boolean {
    return existsSync(join(this.#directory, moment));
  }

  /** Remembers the files as they are, in place of what was remembered for that moment. @throws NexusError `too-large`, `runtime-failed` */
  async remember(moment: Moment, signal: AbortSignal): Promise<LeftOut> {
    // Not with what it takes the place of in reach: that goes, and what is in it would be taken for kept.
    const fresh = await this.#empty(`new-${moment}`, moment === "run" ? ["create"] : []);
    const before = moment === "run" && this.has("create") ? "create" : undefined;
    const { leftOut, manifest } = await this.#import(`new-${moment}`, before, signal);
    writeFileSync(join(fresh, "manifest"), [...manifest].map((line) => `${JSON.stringify(line)}\n`).join(""), { mode: 0o600, flush: true });
    const at = join(this.#directory, moment);
    if (this.has(moment)) await removeTree(at);
    renameSync(fresh, at);
    return leftOut;
  }

  /** A store that is for one look, with the files as they are now. @throws NexusError */
  async look(since: Moment, signal: AbortSignal): Promise<{ leftOut: LeftOut }> {
    await this.#empty("look", moments);
    return await this.#import("look", since, signal);
  }

  async forgetLook(): Promise<void> {
    await removeTree(join(this.#directory, "look"));
  }

  async #import(name: string, before: Moment | undefined, signal: AbortSignal): Promise<{ leftOut: LeftOut; manifest: Manifest }> {
    const [leftOut, now] = [new LeftOut(), new Map() as Manifest];
    using root = Rooted.openDirectory(this.#place.workspace, "the facility", this.#place.owner);
    const known = before === undefined ? {} : { before: { manifest: this.#manifest(before), from: this.#commit(before, name) } };
    const files = survey(root, { leftOut, signal });
    const input = importStream({ files, ...known, ref: "refs/heads/now", leftOut, now });
    await this.git(name, ["fast-import", "--quiet"], { what: "remember the files", deadlineMs: importDeadlineMs, signal, input });
    return { leftOut, manifest: now };
  }

  /** Runs git on a store, with the remembered ones in reach. */
  async git(name: string, words: readonly string[], o: Omit<ToolOptions, "env" | "cwd">): Promise<ToolResult> {
    const confinement = { owner: this.#place.owner, directory: this.#directory, network: "none", fileBytes: 4 * 1024 ** 3 } as const;
    const git = program("git");
    return await runConfined(confinement, (inside) => [git, `--git-dir=${inside}/${name}/git`, ...words], {
      ...o,
      env: gitEnvironment({
        protocol: "none",
        config: { "core.compression": "1", "fastimport.unpackLimit": "0", "core.bigFileThreshold": "64m" },
      }),
    });
  }

  #manifest(moment: Moment): Manifest {
    const text = readFileSync(join(this.#directory, moment, "manifest"), "utf8");
    return new Map(
      text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as [string, { mode: "large"; signature: string }]])),
    );
  }

  /** Gives a store the commit of a moment under a name, and says the name. */
  #commit(moment: Moment, store: string): string {
    const commit = readFileSync(join(this.#directory, moment, "git/refs/heads/now"), "utf8").trim();
    if (!/^[0-9a-f]{40,64}$/.test(commit)) throw new NexusError("internal", `what was remembered in ${this.#directory} is damaged`);
    const heads = join(this.#directory, store, "git/refs/heads");
    writeFileSync(join(heads, "before"), `${commit}\n`);
    return "refs/heads/before^0";
  }

  /** A repository without anything in it, that finds what is in others. Only what is in `git` belongs to the facility's uid. */
  async #empty(name: string, finds: readonly Moment[]): Promise<string> {
    const at = join(this.#directory, name);
    await removeTree(at);
    const git = join(at, "git");
    mkdirSync(at, { recursive: true });
    const asRoot = process.getuid?.() === 0;
    for (const directory of [this.#directory, at]) chmodSync(directory, asRoot ? 0o711 : 0o700);
    for (const part of ["objects/info", "objects/pack", "refs/heads"]) mkdirSync(join(git, part), { recursive: true, mode: 0o700 });
    writeFileSync(join(git, "HEAD"), "ref: refs/heads/now\n");
    writeFileSync(join(git, "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n");
    // Where git sees them depends on where it is put, so the way there is relative.
    const others = finds.filter((moment) => this.has(moment)).map((moment) => `../../../${moment}/git/objects\n`);
    writeFileSync(join(git, "objects/info/alternates"), others.join(""));
    const { uid, gid } = this.#place.owner;
    if (asRoot) for (const path of ["", ...readdirSync(git, { recursive: true, encoding: "utf8" })]) chownSync(join(git, path), uid, gid);
    return at;
  }
}

/** Takes away what a crash left half done. */
export function forgetUnfinished(place: FacilityPlace): void {
  for (const name of ["look", "new-create", "new-run"]) rmSync(join(place.directory, "remembered", name), { recursive: true, force: true });
}

const importDeadlineMs = 10 * 60_000;
