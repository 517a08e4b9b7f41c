import type { VerbContext } from "./context.ts";
import { egressOf } from "./egress-flags.ts";
import { imageFor } from "./image-flag.ts";
import {
  parseDisk,
  parseDuration,
  parseEnv,
  parseLabel,
  parseMemory,
  parseNetworkRef,
  parsePublish,
  parseTmpfs,
  parseVolume,
} from "../spec/flags.ts";
import type { NetworkRef, NodeTmpfs, PublishSpec } from "../spec/node.ts";
import { NexusError } from "../base/errors.ts";

/** Flags that create and exec share, read with the texts of spec/. @throws NexusError usage */

export function refsOf(c: VerbContext): NetworkRef[] {
  return c.flags.many("network").map(parseNetworkRef);
}

/** Networks with the guest's own way out of them, for commands that take `--egress`. */
export function networksOf(c: VerbContext): NetworkRef[] {
  const refs = refsOf(c);
  const policy = egressOf(c);
  if (policy.egress !== undefined && refs.length === 0)
    throw new NexusError("usage", "--egress and --allow are about networks, and none is named", { hint: "name it with --network" });
  return refs.map((ref) => ({ ...ref, ...policy }));
}

export function publishOf(c: VerbContext): PublishSpec[] {
  return c.flags.many("publish").map(parsePublish);
}

/** A directory is absolute here, whatever the user wrote. */
export function imageOf(c: VerbContext): string | undefined {
  const text = c.flags.text("image");
  return text === undefined ? undefined : imageFor(text, { directory: process.cwd(), home: c.io.env["HOME"] });
}

/** A later value of the same name wins. */
export function envOf(c: VerbContext): Record<string, string> {
  return Object.fromEntries(c.flags.many("env").map(parseEnv));
}

/** MiB. */
export function memOf(c: VerbContext): number | undefined {
  const text = c.flags.text("mem");
  return text === undefined ? undefined : parseMemory(text);
}

/** Whole seconds, as the API takes them; part of a second counts as one. */
export function graceOf(c: VerbContext): { grace?: number } {
  const text = c.flags.text("grace");
  return text === undefined ? {} : { grace: Math.ceil(parseDuration("--grace", text) / 1000) };
}

/** What names and marks a guest beside its name. */
export function marksOf(c: VerbContext): { aliases: string[]; labels: Record<string, string> } {
  return { aliases: [...c.flags.many("alias")], labels: Object.fromEntries(c.flags.many("label").map(parseLabel)) };
}

/** `VOLUME|PATH:TARGET[:ro]`; a path is absolute here, whatever the user wrote. */
export function volumesOf(c: VerbContext): { source: string; target: string; readOnly: boolean }[] {
  return c.flags.many("volume").map((text) => {
    const { source, ...rest } = parseVolume(text);
    return { source: sourceFor(source, c), ...rest };
  });
}

/** `PATH[:OPTIONS]`; undefined when there is none. */
export function tmpfsOf(c: VerbContext): NodeTmpfs[] | undefined {
  const given = c.flags.many("tmpfs").map(parseTmpfs);
  return given.length === 0 ? undefined : given;
}

/** `VOLUME|FILE[:SIZE]`: further disks of a virtual machine, named after what they are made of. */
export function disksOf(c: VerbContext): { name: string; source: string; size?: string }[] {
  return c.flags.many("volume").map((text) => {
    const { name, source, size } = parseDisk(text);
    return { name, source: sourceFor(source, c), ...(size === undefined ? {} : { size }) };
  });
}

function sourceFor(source: string, c: VerbContext): string {
  return source.includes("/") ? imageFor(source, { directory: process.cwd(), home: c.io.env["HOME"] }) : source;
}
