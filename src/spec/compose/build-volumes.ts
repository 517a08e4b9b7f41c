import { isFault, type Name, parseName } from "../../base/names.ts";
import { nearest } from "../nearest.ts";
import type { GuestPart, Surroundings } from "./build-guest.ts";
import { type Context, type Part, partFault } from "./context.ts";
import { madeName } from "./names.ts";
import { volumeDefinition } from "./network-schema.ts";
import type { ProjectVolume } from "./project.ts";
import type { SourceWish } from "./volume-schema.ts";

export type VolumePart = Part & { volume: ProjectVolume };

const defaultSize = 10 * 1024 ** 3;

/** The volumes by their names in the file, which may have "_" and "."; the daemon's names have "-" for them. */
export function buildVolumes(context: Context, parts: ReadonlyMap<string, Part>): Map<string, VolumePart> {
  const built = new Map<string, VolumePart>();
  const names = new Map<Name, string>();
  for (const [key, part] of parts) {
    const entry = context.faults.check(volumeDefinition, part.tree, part.path)?.value;
    if (entry === undefined) continue;
    const name = entry.name ?? volumeName(context, part, { key, external: entry.external });
    if (name === undefined) continue;
    const twin = names.get(name);
    if (twin !== undefined)
      partFault(context, part, {
        at: [],
        problem: `the volume "${twin}" is called ${name} on this host too`,
        hint: "give one of them a name",
      });
    names.set(name, key);
    const labels = { "nexus.project": context.project, "nexus.directory": context.directory, "nexus.volume": key };
    const { external, size = defaultSize } = entry;
    built.set(key, { ...part, volume: { name, external, sizeBytes: size, labels: external ? {} : labels } });
  }
  return built;
}

function volumeName(context: Context, part: Part, { key, external }: { key: string; external: boolean }): Name | undefined {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(key)) {
    partFault(context, part, { at: [], problem: `"${key.slice(0, 60)}" is no volume's name; use letters, digits, "_", "." and "-"` });
    return undefined;
  }
  const own = madeName(key);
  const name = own === undefined ? undefined : parseName(external ? own : `${context.project}-${own}`);
  if (name !== undefined && !isFault(name)) return name;
  partFault(context, part, {
    at: [],
    problem: name === undefined ? "has no letter or digit" : `with the project's name before it: ${name.fault}`,
    hint: "give it a name",
  });
  return undefined;
}

/** The volume a guest's wish names; an unknown one is told. */
export function wantedVolume(
  context: Context,
  part: GuestPart,
  { wish, i, around }: { wish: SourceWish; i: number; around: Surroundings },
): VolumePart | undefined {
  const volume = around.volumes.get(wish.source);
  if (volume === undefined && !around.volumeKeys.includes(wish.source)) {
    const meant = nearest(wish.source, around.volumeKeys);
    const hint = meant === undefined ? `define it under volumes, or write ./${wish.source} for a directory` : `did you mean ${meant}?`;
    partFault(context, part, { at: ["volumes", i], problem: `there is no volume "${wish.source}" in this file`, hint });
  }
  return volume;
}
