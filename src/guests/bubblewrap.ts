import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CgroupHost, findCgroups, killCgroup, listCgroups, removeCgroup, removeEmptyCgroup } from "../kernel/cgroups.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { cgroupLimits, checkByDoing } from "./bubblewrap-check.ts";
import { Identities } from "./bubblewrap-owner.ts";
import { Grounds } from "./bubblewrap-grounds.ts";
import type { Ground } from "./bubblewrap-prepare.ts";
import { findProgram, hostFilter } from "./bubblewrap-program.ts";
import { cgroupFile, startPlanned } from "./bubblewrap-start.ts";
import { checkPlan } from "./sandbox-plan.ts";
import { hostRoot, type RootEntry } from "./sandbox-root.ts";
import type { SandboxDriver } from "./sandbox.ts";

export type BubblewrapOptions = {
  /** Its path; by default looked for on PATH. */
  program?: string;
  namespaces: { takeOrMake(): Fd };
  cgroups?: CgroupHost;
  /** Where runs have their cgroups: `/nexus/runs`. */
  cgroupParent: string;
  /** What commands see as their root directory whose plan names none; by default the host's programs. */
  root?: () => readonly RootEntry[];
};

/** `follow`: sandboxes are made ahead, and tried by `check`, with this root directory; undefined is the host's programs. */
export type Bubblewrap = SandboxDriver & AsyncDisposable & { follow(root: string | undefined): void };

/** Runs commands by bubblewrap, for a daemon of root. Every run is another user of the host, whom nothing belongs to. */
export function createBubblewrapDriver(options: BubblewrapOptions): Bubblewrap {
  const cgroups = { host: options.cgroups ?? findCgroups(), parent: options.cgroupParent };
  let followed: string | undefined;
  let made: Made | undefined;
  const get = (): Made => (made ??= make(options, { cgroups, followed }));
  const driver: SandboxDriver = {
    name: "bubblewrap",
    root: "directory",
    check: () => checkByDoing(() => ({ driver, program: get().program, limits: cgroupLimits(cgroups.host), root: followed })),
    async start(plan, signal) {
      return await get().grounds.on(plan.root?.lower, async (footing) => {
        checkPlan(plan, footing.ground.stage.taken);
        return await startPlanned(plan, footing, signal);
      });
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
    follow(root) {
      followed = root;
      made?.grounds.follow(root);
    },
    async [Symbol.asyncDispose]() {
      const all = made;
      made = undefined;
      await all?.grounds[Symbol.asyncDispose]();
      all?.identities[Symbol.dispose]();
    },
  };
}

type Made = { program: string; identities: Identities; grounds: Grounds };

function make(options: BubblewrapOptions, o: { cgroups: Ground["cgroups"]; followed: string | undefined }): Made {
  const { cgroups } = o;
  removeEmpty(cgroups);
  const program = options.program ?? findProgram();
  const identities = new Identities();
  const common = { program, identities, namespaces: options.namespaces, cgroups, filter: hostFilter() };
  const grounds = new Grounds(common, options.root ?? hostRoot);
  grounds.follow(o.followed);
  return { program, identities, grounds };
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
