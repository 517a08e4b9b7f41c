import { egressWish } from "../egress-wish.ts";
import { check } from "../problems.ts";
import { runSpec } from "../run.ts";
import { type Built, finishedSpec, guestLabels, guestName, type GuestPart, sharedParts, type Surroundings } from "./build-guest.ts";
import { commandOf } from "./build-node.ts";
import { type Context, hostPath, partFault, partPlace, present } from "./context.ts";
import { hashed } from "./hash.ts";
import type { ProjectSandbox } from "./project.ts";
import { type SandboxEntry, sandboxEntry } from "./sandbox-schema.ts";

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
  around: Pick<Surroundings, "profiles">,
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
    net: { ...present({ mode: entry.net }), allow: allowOf(context, part, entry) },
    env,
    labels: guestLabels(context, names.service, entry.labels),
    ...present({ driver, cwd, cpus, pids, disk, mem: memory, timeoutMs: timeout, graceMs: stopGraceMs, outputLimit: output_limit }),
    ...present({ facility: facilityOf(context, part, entry) }),
  };
  const finished = finishedSpec(context, part, { schema: runSpec, spec, writtenAs });
  if (finished === undefined) return undefined;
  // Whoever may see a run sees the names alone: by a hash of the values short ones could be guessed.
  const hash = hashed(finished, { ...finished, env: Object.keys(finished.env).toSorted() });
  return { part, guest: { kind: "sandbox", ...names, active, profiles, dependsOn, spec: hash } };
}

/** The rules in their one form, so that another spelling of the same is no change. */
function allowOf(context: Context, part: GuestPart, { allow }: SandboxEntry): string[] {
  const result = check(egressWish, { mode: "allowlist", allow });
  if ("value" in result) return result.value.allow;
  for (const { at, problem, hint } of result.problems) partFault(context, part, { at, problem, hint });
  return [];
}

/** A word alone is a facility's name; whatever looks like a path is a directory. */
function facilityOf(context: Context, part: GuestPart, { facility }: SandboxEntry): string | undefined {
  if (facility === undefined || !/^[.~]|\//.test(facility)) return facility;
  return hostPath(context, facility, partPlace(part, ["facility"]).source);
}
