import { isFault, type Name, parseName } from "../../base/names.ts";
import type { LabelSet } from "../labels.ts";
import { nearest } from "../nearest.ts";
import type { NetworkPart } from "./build-networks.ts";
import { refuseOwnLabels } from "./build-networks.ts";
import { type Context, hostPath, type Part, partFault, partPlace, present, shownPath } from "./context.ts";
import { readDotenv } from "./dotenv.ts";
import type { AttachmentWish, NodeEntry, VmEntry } from "./guest-schema.ts";
import type { SandboxEntry } from "./sandbox-schema.ts";
import type { VolumePart } from "./build-volumes.ts";
import { madeName } from "./names.ts";
import type { Dependency, ProjectGuest, ProjectService } from "./project.ts";
import { check } from "../problems.ts";
import type { z } from "zod";

/** A guest of the file while it is built. */
export type GuestPart = Part & { service: string };

/** A guest with the part it was built from: without what had faults. */
export type Built<T extends ProjectService> = { guest: T; part: GuestPart };

export type Surroundings = {
  networks: ReadonlyMap<string, NetworkPart>;
  /** Every network the file names, those with faults too. */
  networkKeys: readonly string[];
  volumes: ReadonlyMap<string, VolumePart>;
  volumeKeys: readonly string[];
  /** The profiles that are on; "*" is all of them. */
  profiles: ReadonlySet<string>;
};

/** The daemon's name of a guest and its own. For one that is no name, which is told, they stand in. */
export function guestName(context: Context, part: GuestPart): { name: Name; service: Name } {
  const service = parseName(part.service);
  const name = parseName(`${context.project}-${part.service}`);
  if (!isFault(service) && !isFault(name)) return { name, service };
  const fit = madeName(part.service);
  if (isFault(service)) partFault(context, part, { at: [], problem: service.fault, hint: fit === undefined ? undefined : `write ${fit}` });
  else {
    const over = `${context.project}-${part.service}`.length - 63;
    const hint = `shorten one of the two by ${over}`;
    partFault(context, part, { at: [], problem: `with the project's name before it: ${isFault(name) ? name.fault : name}`, hint });
  }
  const standIn = fit ?? ("guest" as Name);
  return { name: standIn, service: isFault(service) ? standIn : service };
}

type Entry = VmEntry | NodeEntry;

/** What every guest and sandbox has, from its entry: the part of the spec that kinds share, and compose's own. */
export function sharedParts(context: Context, part: GuestPart, entry: Entry | SandboxEntry, around: Pick<Surroundings, "profiles">) {
  refuseOwnLabels(context, part, entry.labels);
  const profiles = [...new Set(entry.profiles)];
  return {
    env: environmentOf(context, part, entry),
    active: profiles.length === 0 || around.profiles.has("*") || profiles.some((profile) => around.profiles.has(profile)),
    profiles,
    dependsOn: new Map<Name, Dependency>(Object.entries(entry.depends_on).map(([name, dependency]) => [name as Name, dependency])),
    ...present({ healthcheck: "healthcheck" in entry ? entry.healthcheck : undefined, stopGraceMs: entry.stop_grace_period }),
  };
}

/** The networks by the daemon's names. Unknown ones are told and left out. */
export function attachmentsOf(
  context: Context,
  part: GuestPart,
  { wishes, around }: { wishes: Readonly<Record<string, AttachmentWish>>; around: Surroundings },
): { network: Name; key: string; wish: AttachmentWish }[] {
  return Object.entries(wishes).flatMap(([key, wish]) => {
    const network = around.networks.get(key);
    if (network !== undefined) return [{ network: network.network.name, key, wish }];
    if (!around.networkKeys.includes(key)) {
      const meant = nearest(key, around.networkKeys);
      const hint = meant === undefined ? "define it under networks" : `did you mean ${meant}?`;
      partFault(context, part, { at: ["networks", key], onKey: true, problem: `there is no network "${key}" in this file`, hint });
    }
    return [];
  });
}

/** Its name in the file is a name in DNS too, and so are its aliases. */
export function aliasesOf(service: Name, entry: Entry): Name[] {
  const further = Object.values(entry.networks ?? {}).flatMap((wish) => wish.aliases);
  return [...new Set([service, ...entry.aliases, ...further])];
}

/** The labels compose finds its guests by, beside those of the file. */
export function guestLabels(context: Context, service: Name, own: LabelSet): LabelSet {
  return { ...own, "nexus.project": context.project, "nexus.directory": context.directory, "nexus.service": service };
}

/**
 * The spec as the daemon's own schema gives it. Faults it finds are told where the file says it; what is left serves for further checks.
 */
export function finishedSpec<T extends z.ZodType>(
  context: Context,
  part: GuestPart,
  {
    schema,
    spec,
    writtenAs,
  }: { schema: T; spec: Readonly<Record<string, unknown>>; writtenAs: Readonly<Record<string, readonly string[]>> },
): z.output<T> | undefined {
  const result = check(schema, spec);
  if ("value" in result) return result.value;
  const faulty = new Set<string>();
  for (const { at, problem, hint } of result.problems) {
    const [first = "", ...rest] = at.map((step) => (typeof step === "number" ? step : String(step)));
    faulty.add(String(first));
    const written = writtenAs[`${first}.${rest[0] ?? ""}`] ?? writtenAs[first];
    partFault(context, part, { at: written ?? (first === "" ? [] : [first, ...rest]), problem, hint });
  }
  const left = check(schema, Object.fromEntries(Object.entries(spec).filter(([key]) => !faulty.has(key))));
  return "value" in left ? left.value : undefined;
}

/** env_file first, in its order; environment has the last word. */
function environmentOf(context: Context, part: GuestPart, entry: Pick<Entry, "env_file" | "environment">): Record<string, string> {
  const env = new Map<string, string>();
  for (const [i, { path, required }] of entry.env_file.entries()) {
    const place = partPlace(part, ["env_file", i]);
    const absolute = hostPath(context, path, place.source);
    const text = context.read(absolute);
    const file = shownPath(context, absolute);
    if (text === undefined) {
      const hint = "write {path: …, required: false} when it may be absent";
      if (required) partFault(context, part, { at: ["env_file", i], problem: `there is no file ${file}`, hint });
      continue;
    }
    const source = { file, directory: place.source.directory, order: place.source.order + 0.5 };
    const { variables, faults, budget } = context;
    // The file is read again for each guest that names it.
    if (!budget.take(place, { characters: text.length })) break;
    for (const [name, value] of readDotenv(text, { source, variables, faults, budget })) env.set(name, value.text);
  }
  for (const [name, value] of Object.entries(entry.environment)) env.set(name, value);
  return Object.fromEntries(env);
}

/** For messages and checks: `vms.web`. */
export function guestWord(guest: ProjectGuest): string {
  return `${guest.kind === "vm" ? "vms" : "nodes"}.${guest.service}`;
}
