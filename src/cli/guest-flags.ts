import type { VerbContext } from "./context.ts";
import { imageFor } from "./image-flag.ts";
import { parseDuration, parseEnv, parseMemory, parseNetworkRef, parsePublish } from "../spec/flags.ts";
import type { NetworkRef, PublishSpec } from "../spec/node.ts";

/** Flags that create and exec share, read with the texts of spec/. @throws NexusError usage */

export function networksOf(c: VerbContext): NetworkRef[] {
  return c.flags.many("network").map(parseNetworkRef);
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
  return text === undefined ? {} : { grace: Math.ceil(parseDuration(text) / 1000) };
}
