import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { LabelSet } from "../spec/labels.ts";
import type { VolumeView } from "../spec/views.ts";
import type { GuestRecord } from "../state/rows.ts";
import type { World } from "./world.ts";

/**
 * Data that outlives guests, by name: a directory that nodes mount, or a disk that virtual machines have. It is made when a guest first
 * asks for it, and removed only when told to.
 */
export class Volumes {
  readonly #directory: string;
  readonly #world: World;

  constructor(directory: string, world: World) {
    this.#directory = directory;
    this.#world = world;
  }

  /** In the order of their names. */
  list(): VolumeView[] {
    if (!existsSync(this.#directory)) return [];
    return readdirSync(this.#directory)
      .toSorted()
      .map((name) => this.#view(name as Name));
  }

  /** @throws NexusError name-taken */
  create({ name, labels }: { name: Name; labels: LabelSet }): VolumeView {
    if (existsSync(join(this.#directory, name)))
      throw new NexusError("name-taken", `a volume named ${name} exists already`, { details: { name } });
    mkdirSync(join(this.#directory, name), { recursive: true, mode: 0o700 });
    if (Object.keys(labels).length > 0) writeFileSync(this.#labelFile(name), JSON.stringify(labels), { mode: 0o600, flush: true });
    return this.#view(name);
  }

  /** @throws NexusError not-found; in-use, naming the guests */
  remove(name: Name): void {
    if (!existsSync(join(this.#directory, name)))
      throw new NexusError("not-found", `there is no volume ${name}`, { hint: "nexus volume ls lists them" });
    const users = this.#usersOf(name);
    if (users.length > 0)
      throw new NexusError("in-use", `volume ${name} is used by ${users.join(", ")}`, {
        hint: "remove them first; what they wrote goes with the volume",
      });
    rmSync(join(this.#directory, name), { recursive: true });
  }

  /** Where the things are that a specification names; a path is itself. */
  placeOf(source: string, kind: VolumeView["kind"]): string {
    return source.startsWith("/") ? source : this.#place(source, kind);
  }

  /** Before a guest starts: what it names must be there, and volumes are made. A disk's file the driver makes. @throws NexusError not-found, wrong-state */
  make(sources: readonly string[], kind: VolumeView["kind"]): void {
    for (const source of sources) {
      if (source.startsWith("/")) {
        if (kind === "disk" || existsSync(source)) continue;
        throw new NexusError("not-found", `there is no ${source} on this host to be a volume`, { hint: "make it first, or name a volume" });
      }
      this.#refuse(source, kind === "disk" ? "directory" : "disk");
      mkdirSync(join(this.#directory, source), { recursive: true, mode: 0o700 });
      // Whoever the guest's users are, they come in by the mount alone; above it nobody else passes.
      if (kind === "directory") mkdirSync(this.#place(source, kind), { recursive: true, mode: 0o755 });
    }
  }

  #view(name: Name): VolumeView {
    const kind = this.#kindOf(name) ?? "unused";
    const path = this.#place(name, kind);
    const { mtime, blocks } = statSync(path);
    const size = kind === "disk" ? { sizeBytes: blocks * 512 } : {};
    return { name, kind, path, usedBy: this.#usersOf(name), changedAt: mtime.toISOString(), ...size, labels: this.#labelsOf(name) };
  }

  #labelsOf(name: string): LabelSet {
    try {
      return JSON.parse(readFileSync(this.#labelFile(name), "utf8")) as LabelSet;
    } catch {
      return {};
    }
  }

  #labelFile(name: string): string {
    return join(this.#directory, name, "labels.json");
  }

  #refuse(name: string, kind: VolumeView["kind"]): void {
    if (this.#kindOf(name) !== kind) return;
    const is = kind === "disk" ? "a disk of virtual machines" : "a directory of nodes";
    throw new NexusError("wrong-state", `volume ${name} is ${is} already`, { hint: "use another volume" });
  }

  #kindOf(name: string): VolumeView["kind"] | undefined {
    return (["directory", "disk"] as const).find((kind) => existsSync(this.#place(name, kind)));
  }

  #place(name: string, kind: VolumeView["kind"]): string {
    return join(this.#directory, name, { disk: "disk", directory: "data", unused: "." }[kind]);
  }

  #usersOf(name: string): Name[] {
    return [...this.#world.guests.values()].filter((guest) => sourcesOf(guest).includes(name)).map((guest) => guest.name);
  }
}

function sourcesOf(guest: GuestRecord): string[] {
  switch (guest.kind) {
    case "container":
      return guest.spec.volumes.map((volume) => volume.source);
    case "vm":
      return guest.spec.disks.map((disk) => disk.source);
    case "netns":
      return [];
  }
}
