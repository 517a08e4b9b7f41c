import { statSync } from "node:fs";
import { type CgroupHost, isLimitedBy } from "../kernel/cgroups.ts";
import { namespacedPids, statusField } from "../kernel/processes.ts";

/** What a sandbox's first process must be held by before its command runs. */
export type Confinement = {
  /** Absent when the command has the host's network by its plan. */
  ownNetwork: boolean;
  cgroup: { host: CgroupHost; path: string } | undefined;
};

/** In words, how a process is held less than asked; empty when it is not. Read from the kernel, not from what was asked for. */
export function confinementFaults(pid: number, asked: Confinement): string[] {
  const kinds = ["user", "mnt", "pid", "ipc", "uts", "cgroup", ...(asked.ownNetwork ? ["net"] : [])];
  const status = (name: string): string => statusField(pid, name) ?? "unknown";
  return [
    ...kinds.filter((kind) => namespaceOf(pid, kind) === namespaceOf("self", kind)).map((kind) => `it shares the host's ${kind} namespace`),
    ...(namespacedPids(pid)?.at(-1) === 1 ? [] : ["it is not the first process of its pid namespace"]),
    ...["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
      .filter((name) => !/^0+$/.test(status(name)))
      .map((name) => `it has ${name} ${status(name)}`),
    ...(status("NoNewPrivs") === "1" ? [] : ["it may gain rights"]),
    ...(status("Seccomp") === "2" ? [] : ["its system calls are not filtered"]),
    ...limitFaults(pid, asked.cgroup),
  ];
}

function limitFaults(pid: number, cgroup: Confinement["cgroup"]): string[] {
  if (cgroup === undefined) return [];
  const controllers = ["memory", "cpu", "pids"] as const;
  return controllers
    .filter((controller) => !isLimitedBy(cgroup.host, pid, { controller, path: cgroup.path }))
    .map((controller) => `its ${controller} is not limited`);
}

/** Undefined counts as equal to nothing: a process that cannot be looked at is found at fault by its status. */
function namespaceOf(pid: number | "self", kind: string): string | undefined {
  const stat = statSync(`/proc/${pid}/ns/${kind}`, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}
