import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CgroupHost, findCgroups, killCgroup, listCgroups, removeCgroup, removeEmptyCgroup } from "../kernel/cgroups.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { cgroupLimits, checkByDoing } from "./bubblewrap-check.ts";
import { Identities } from "./bubblewrap-owner.ts";
import type { Ground } from "./bubblewrap-prepare.ts";
import { findProgram, hostFilter } from "./bubblewrap-program.ts";
import { makeStage } from "./bubblewrap-stage.ts";
import { cgroupFile, startPlanned } from "./bubblewrap-start.ts";
import { PreparedStock } from "./bubblewrap-stock.ts";
import { checkPlan } from "./sandbox-plan.ts";
import { hostPrograms, hostRoot, type RootEntry } from "./sandbox-root.ts";
import type { SandboxDriver } from "./sandbox.ts";

export type BubblewrapOptions = {
  /** Its path; by default looked for on PATH. */
  program?: string;
  namespaces: { takeOrMake(): Fd };
  cgroups?: CgroupHost;
  /** Where runs have their cgroups: `/nexus/runs`. */
  cgroupParent: string;
  /** What commands see as their root directory; by default the host's programs. Asked once. */
  root?: () => readonly RootEntry[];
};

/** Runs commands by bubblewrap, for a daemon of root. Every run is another user of the host, whom nothing belongs to. */
export function createBubblewrapDriver(options: BubblewrapOptions): SandboxDriver & AsyncDisposable {
  const cgroups = { host: options.cgroups ?? findCgroups(), parent: options.cgroupParent };
  let made: Made | undefined;
  const get = (): Made => (made ??= make(options, cgroups));
  const driver: SandboxDriver = {
    name: "bubblewrap",
    check: () => checkByDoing(() => ({ driver, program: get().ground.program, limits: cgroupLimits(cgroups.host) })),
    async start(plan, signal) {
      checkPlan(plan, get().ground.stage.taken);
      return await startPlanned(plan, get(), signal);
    },
    async sweep({ directory }) {
      removeEmpty(cgroups);
      const path = cgroupOf(directory, cgroups.parent);
      if (path === undefined) return;
      await killCgroup(cgroups.host, path);
      removeCgroup(cgroups.host, path);
    },
  };
  return {
    ...driver,
    async [Symbol.asyncDispose]() {
      const all = made;
      made = undefined;
      await all?.stock[Symbol.asyncDispose]();
      all?.ground.stage[Symbol.dispose]();
      all?.ground.identities[Symbol.dispose]();
    },
  };
}

type Made = { ground: Ground; stock: PreparedStock };

function make(options: BubblewrapOptions, cgroups: Ground["cgroups"]): Made {
  removeEmpty(cgroups);
  const ground: Ground = {
    program: options.program ?? findProgram(),
    stage: makeStage(hostPrograms(), (options.root ?? hostRoot)()),
    identities: new Identities(),
    namespaces: options.namespaces,
    cgroups,
    filter: hostFilter(),
  };
  return { ground, stock: new PreparedStock(ground) };
}

/** Groups of sandboxes that waited when a daemon crashed: those have ended with it. */
function removeEmpty({ host, parent }: Ground["cgroups"]): void {
  for (const name of listCgroups(host, parent)) removeEmptyCgroup(host, `${parent}/${name}`);
}

/** Undefined when the run had not got that far. */
function cgroupOf(directory: string, parent: string): string | undefined {
  try {
    const path = readFileSync(join(directory, cgroupFile), "utf8");
    return path.startsWith(`${parent}/`) && !path.includes("..") ? path : undefined;
  } catch {
    return undefined;
  }
}
