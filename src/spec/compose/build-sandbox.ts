import { egressWish } from "../egress-wish.ts";
import { nearest } from "../nearest.ts";
import { check } from "../problems.ts";
import { runSpec } from "../run.ts";
import { wholeRule } from "../run-policy.ts";
import { type Built, finishedSpec, guestLabels, guestName, type GuestPart, sharedParts, type Surroundings } from "./build-guest.ts";
import { commandOf, imageOf } from "./build-node.ts";
import { type Context, hostPath, partFault, partPlace, present } from "./context.ts";
import { hashed } from "./hash.ts";
import type { ProjectSandbox } from "./project.ts";
import { type SandboxEntry, sandboxEntry } from "./sandbox-schema.ts";

/** The guests of the file by their names in it, and whether each has an address. */
export type GuestsToReach = ReadonlyMap<string, { onNetwork: boolean }>;

const writtenAs = {
  "net.mode": ["net"],
  "net.allow": ["allow"],
  env: ["environment"],
  mem: ["memory"],
  timeoutMs: ["timeout"],
  graceMs: ["stop_grace_period"],
  outputLimit: ["output_limit"],
};

/** A sandboxed run of the project, or undefined with its faults told. */
export function buildSandbox(
  context: Context,
  given: GuestPart,
  around: Pick<Surroundings, "profiles"> & { guests: GuestsToReach },
): Built<ProjectSandbox> | undefined {
  const names = guestName(context, given);
  const checked = context.faults.check(sandboxEntry, given.tree, given.path);
  if (checked === undefined) return undefined;
  const entry = checked.value;
  const part = { ...given, tree: checked.tree };
  const { env, active, profiles, dependsOn, stopGraceMs } = sharedParts(context, part, entry, around);
  const { timeout, memory, output_limit, profile, driver, cwd, cpus, pids, disk } = entry;
  const spec = {
    // What is told already is not told as an empty command too.
    command: commandOf(context, part, entry.command) ?? ["unread"],
    profile,
    net: { ...present({ mode: entry.net }), allow: allowOf(context, part, { ...entry, ...around }) },
    env,
    labels: guestLabels(context, names.service, entry.labels),
    ...present({ driver, cwd, cpus, pids, disk, mem: memory, timeoutMs: timeout, graceMs: stopGraceMs, outputLimit: output_limit }),
    ...present({
      facility: facilityOf(context, part, entry),
      image: entry.image === undefined ? undefined : imageOf(context, part, entry.image),
      rootfs: rootfsOf(context, part, entry),
    }),
  };
  const finished = finishedSpec(context, part, { schema: runSpec, spec, writtenAs });
  if (finished === undefined) return undefined;
  // Whoever may see a run sees the names alone: by a hash of the values short ones could be guessed.
  const hash = hashed(finished, { ...finished, env: Object.keys(finished.env).toSorted() });
  return { part, guest: { kind: "sandbox", ...names, active, profiles, dependsOn, spec: hash } };
}

/** The rules in their one form, so that another spelling of the same is no change. A name without a dot is a guest's of this file. */
function allowOf(context: Context, part: GuestPart, { allow, guests }: Pick<SandboxEntry, "allow"> & { guests: GuestsToReach }): string[] {
  // Whatever the domain is called: only the daemon knows.
  const rest = `${context.project}.nexus`;
  const whole = allow.map((text) => wholeRule(text, rest) ?? text);
  const result = check(egressWish, { mode: "allowlist", allow: whole });
  if ("problems" in result) {
    for (const { at, problem, hint } of result.problems) partFault(context, part, { at, problem, hint });
    return [];
  }
  return result.value.allow.map((rule, i) => {
    if (whole[i] === allow[i]) return rule;
    const service = rule.slice(0, rule.indexOf("."));
    const guest = guests.get(service);
    const tell = (problem: string, hint: string) => partFault(context, part, { at: ["allow", i], problem, hint });
    if (guest === undefined) {
      const meant = nearest(service, [...guests.keys()]);
      tell(
        `there is no guest "${service}" in this file`,
        meant === undefined ? "names of other hosts have a dot" : `did you mean ${meant}?`,
      );
    } else if (!guest.onNetwork) tell(`${service} is on no network, so it has no address`, `give ${service} networks`);
    return rule.replace(`.${rest}`, "");
  });
}

/** A word alone is a facility's name; whatever looks like a path is a directory. */
function facilityOf(context: Context, part: GuestPart, { facility }: SandboxEntry): string | undefined {
  if (facility === undefined || !/^[.~]|\//.test(facility)) return facility;
  return hostPath(context, facility, partPlace(part, ["facility"]).source);
}

function rootfsOf(context: Context, part: GuestPart, { rootfs }: SandboxEntry): string | undefined {
  const isPath = rootfs !== undefined && !/^(host|auto)$|:\/\//.test(rootfs);
  return isPath ? hostPath(context, rootfs, partPlace(part, ["rootfs"]).source) : rootfs;
}
