import { mkdirSync, rmdirSync } from "node:fs";
import { type CgroupHost, type Controller, controllerDirectory, findCgroups } from "../../kernel/cgroups.ts";
import { type Check, runAsRoot } from "./report.ts";

const wanted: readonly Controller[] = ["memory", "cpu", "pids"];

/** Limits need a controller, and a tree in which groups can be made. Nothing is switched on in the tree. */
export const cgroups: Check = {
  name: "cgroups",
  needed: true,
  probe() {
    const host = findCgroups();
    const missing: string[] = [];
    const refused: string[] = [];
    for (const controller of wanted) {
      const fault = tryController(host, controller);
      if (fault === "absent") missing.push(controller);
      else if (fault !== undefined) refused.push(`${controller}: ${fault}`);
    }
    const kind = host.mode === "hybrid" ? "hybrid (v1 controllers beside a v2 tree)" : host.mode;
    if (refused.length > 0)
      return {
        ok: "fail",
        detail: `cgroups ${kind}, but groups cannot be made: ${refused.join(", ")}`,
        remedy: `${runAsRoot}, with /sys/fs/cgroup mounted writable`,
      };
    if (missing.length > 0) {
      const remedy = missing.includes("memory")
        ? "boot with cgroup_enable=memory"
        : `give this host's cgroup tree the controllers ${missing.join(", ")}`;
      return { ok: "fail", detail: `cgroups ${kind}, without ${missing.join(", ")}`, remedy };
    }
    return { ok: "ok", detail: `cgroups ${kind}; memory, cpu and pids limits available` };
  },
};

function tryController(host: CgroupHost, controller: Controller): string | undefined {
  const place = controllerDirectory(host, controller, `/nexus-doctor-${process.pid}`);
  if (place === undefined) return "absent";
  try {
    mkdirSync(place.directory);
    rmdirSync(place.directory);
    return undefined;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}
