import type { LabelSet } from "../labels.ts";
import { canonical, digest } from "./names.ts";

/** The spec with a hash of all that it says, so that a change is seen without comparing. */
export function hashed<T extends { labels: LabelSet }>(spec: T): T {
  return { ...spec, labels: { ...spec.labels, "nexus.config": digest(canonical(spec)) } };
}
