import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { NexusError } from "../../base/errors.ts";

const recordSchema = z.strictObject({
  networks: z.array(z.string()),
  nodes: z.array(z.string()),
  vms: z.array(z.string()).default([]),
  /** Debian packages it installed. */
  packages: z.array(z.string()),
  /** The daemon it started, and the boot in which. */
  daemon: z.strictObject({ pid: z.number().int(), bootId: z.string() }).optional(),
  /** What was not there before that daemon. */
  made: z.strictObject({
    /** The state directory itself, or only what is in it. */
    state: z.enum(["none", "content", "directory"]),
    runDir: z.boolean(),
    netnsDir: z.boolean(),
    netnsMount: z.boolean(),
    /** Directories that others may use as well: they go when they are empty. */
    shared: z.array(z.string()),
  }),
});

/** What quickstart made on this host, so that it is all that `--down` removes. */
export type QuickstartRecord = z.output<typeof recordSchema>;
export type Made = QuickstartRecord["made"];

export const nothingMade: Made = { state: "none", runDir: false, netnsDir: false, netnsMount: false, shared: [] };

/** It lies with the state, since what it names outlives a reboot as well. */
export function recordPath(stateDir: string): string {
  return join(stateDir, "quickstart.json");
}

/** @throws NexusError state-corrupt */
export function readRecord(stateDir: string): QuickstartRecord | undefined {
  const path = recordPath(stateDir);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new NexusError("state-corrupt", `${path} cannot be understood`, {
      hint: `remove the nodes and networks of the example by hand, then ${path}`,
      cause: error,
    });
  }
}

/** Whole or not at all. */
export function writeRecord(stateDir: string, record: QuickstartRecord): void {
  const path = recordPath(stateDir);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function removeRecord(stateDir: string): void {
  rmSync(recordPath(stateDir), { force: true });
}

/** What two daemons of ours made on one host. What lives in memory only is gone when a boot lies between them. */
export function mergeMade(before: Made, now: Made, sameBoot: boolean): Made {
  const state = before.state === "none" ? now.state : before.state;
  if (!sameBoot) return { ...now, state };
  return {
    state,
    runDir: before.runDir || now.runDir,
    netnsDir: before.netnsDir || now.netnsDir,
    netnsMount: before.netnsMount || now.netnsMount,
    shared: [...new Set([...before.shared, ...now.shared])],
  };
}
