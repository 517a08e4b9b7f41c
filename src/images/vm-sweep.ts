import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { systemRefusal } from "../base/system-error.ts";
import { tryLockDigest } from "./digest-lock.ts";
import type { Trash } from "./trash.ts";
import { makingDisk, type VmDisks } from "./vm-disks.ts";
import { fetchLock } from "./vm-fetch.ts";
import { builtMiniVm } from "./vm-mini.ts";

export type SweepPlace = {
  directory: string;
  disks: VmDisks;
  trash: Trash;
  isNeeded: (key: string) => boolean;
};

/** How long what came of a broken fetch is kept to go on from. */
const keepPartialMs = 7 * 24 * 3600_000;

/** Rests of fetches that died, and disks that nothing means any more. Gives the names of what went. @throws KernelError */
export async function sweepDisks(place: SweepPlace): Promise<string[]> {
  const gone: string[] = [];
  for (const name of place.disks.names()) {
    if (await sweepDisk(name, place)) gone.push(`disks/${name}`);
  }
  for (const name of namesIn(join(place.directory, "partial"))) {
    const touched = statSync(join(place.directory, "partial", name, "data"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - touched > keepPartialMs && (await take(join("partial", name), name, place))) gone.push(`partial/${name}`);
  }
  return gone;
}

/** Throws away one disk, by its name in the directory, unless it is needed or being made. @throws KernelError */
export async function sweepDisk(name: string, place: SweepPlace): Promise<boolean> {
  const id = name.startsWith(makingDisk) ? name.slice(makingDisk.length) : undefined;
  if (id !== undefined) return take(join("disks", name), id, place);
  const key = name.replace("-", ":");
  // Who was just given the image holds it within this turn of the event loop.
  await setImmediate();
  return !place.isNeeded(key) && onDisk(`remove disk ${name} of the images`, () => place.disks.discard(name));
}

/** Builds of mini that were replaced or never finished; for when none is under way. @throws KernelError */
export function sweepMini(directory: string, place: Pick<SweepPlace, "trash" | "isNeeded">): string[] {
  const newest = builtMiniVm(directory)?.key;
  const isStale = (name: string): boolean => {
    const key = `mini-vm:${name}`;
    return name.startsWith(".") || (/^[0-9a-f]{32}$/.test(name) && key !== newest && !place.isNeeded(key));
  };
  const packages = namesIn(join(directory, "packages")).filter((name) => name.startsWith("."));
  const stale = [...namesIn(directory).filter(isStale), ...packages.map((name) => `packages/${name}`)];
  return stale
    .filter((name) => onDisk(`remove ${name} of the mini image`, () => place.trash.take(join(directory, name))))
    .map((name) => `mini/${name}`);
}

/** @throws KernelError in place of what node:fs throws */
export function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw systemRefusal(error, what) ?? error;
  }
}

/** Throws it away, unless a fetch is at it. */
async function take(path: string, fetchId: string, place: SweepPlace): Promise<boolean> {
  using lock = await tryLockDigest(place.directory, fetchLock(fetchId));
  return lock !== undefined && onDisk(`remove ${path} of the images`, () => place.trash.take(join(place.directory, path)));
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).toSorted() : [];
}
