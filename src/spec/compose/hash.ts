import type { LabelSet } from "../labels.ts";
import { canonical, digest } from "./names.ts";

/** The spec with a hash of all that it says, or of what is `told`, so that a change is seen without comparing. */
export function hashed<T extends { labels: LabelSet }>(spec: T, told: unknown = spec): T {
  return { ...spec, labels: { ...spec.labels, "nexus.config": digest(canonical(told)) } };
}
