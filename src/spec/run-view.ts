import { type ErrorCode, errorCatalogue } from "../base/errors.ts";
import type { RunSpec } from "./run.ts";

/** `starting` and `running` go on; the others are final, and a run has exactly one of them. */
export const runStates = ["starting", "running", "succeeded", "failed", "timed-out", "cancelled", "lost", "refused"] as const;
export type RunState = (typeof runStates)[number];

/** Why a run ended as it did; of one that was refused, the code of the error. */
const endReasons = [
  "ok",
  "exit-code",
  "signal",
  "out-of-memory",
  "timeout",
  "asked",
  "client-gone",
  "daemon-stopped",
  "daemon-died",
  "host-restarted",
  "facility-full",
  "sandbox-failed",
] as const;
export type RunReason = (typeof endReasons)[number] | ErrorCode;
export const runReasons: readonly RunReason[] = [...new Set<RunReason>([...endReasons, ...(Object.keys(errorCatalogue) as ErrorCode[])])];

/** Bytes of one output: all it wrote, and how many of them in the middle were not kept. */
export type RunOutputView = { bytes: number; dropped: number };

export type RunExit = { code: number; signal?: string; outOfMemory: boolean };

export type RunView = {
  id: string;
  state: RunState;
  /** Of a final state. */
  reason?: RunReason;
  /** The same in a sentence, where there is more to say. */
  message?: string;
  /** The exit code for whoever waited: the command's, 128 and the signal's number, 124 when its time was up, 125 when it never ran. */
  code?: number;
  exit?: RunExit;
  driver?: string;
  /** What holds it to its memory, processes and processor time; rlimits do for each process by itself, and not its processor time. */
  limitedBy?: "cgroups" | "rlimits";
  /** The root file system it was given: `host`, a directory, `ARCHIVE#sha256:DIGITS`, or an image. */
  root?: string;
  /** Who asked. */
  uid: number;
  detached: boolean;
  createdAt: string;
  startedAt?: string;
  endedAt?: string;
  /** Milliseconds it ran. */
  tookMs?: number;
  output: { stdout: RunOutputView; stderr: RunOutputView };
  /** Connections judged, once it has made any; of them those for which its audit had no room. */
  egress?: { allowed: number; denied: number; unwritten?: number };
  /** What was asked, as runSpec wrote it out; the environment by its names only. */
  spec: Omit<RunSpec, "env"> & { env: string[] };
};

export function isFinal(state: RunState): boolean {
  return state !== "starting" && state !== "running";
}
