import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { machineUsers } from "../base/machine-users.ts";
import { type QemuLayout, qemuLayout } from "./qemu-layout.ts";
import type { VmPlan } from "./qemu-plan.ts";
import { readShareType } from "./qemu-shares.ts";
import type { Started } from "./qemu-started.ts";
import { writeWhole } from "./write-whole.ts";

/** As whom QEMU runs: a user of the host that nobody else is, or the daemon's own, and under root's daemon why. */
export type QemuUser = { kind: "own"; uid: number } | { kind: "daemon"; why?: string };

/** Nobody's but that of guests which live for a moment, to see whether KVM works. */
const trialUser = machineUsers.first + machineUsers.count;

/** The user of a machine, the same for as long as there is the machine: written down in its directory. */
export function qemuUser(layout: QemuLayout, plan: VmPlan): QemuUser {
  const why = whyRoot(layout, plan);
  if (why !== undefined) return { kind: "daemon", ...(why === "" ? {} : { why }) };
  return { kind: "own", uid: knownUser(layout) ?? newUser(layout) };
}

/** As whom a process runs, as the host sees it; and why not as a user of its own, when it is root. */
export function seenUser(pid: number, { user }: Started): { uid: number; why?: string } | undefined {
  const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
  if (uid !== 0) return uid === undefined ? undefined : { uid };
  return { uid, why: user?.kind === "daemon" && user.why !== undefined ? user.why : "an earlier version started it" };
}

/** The words in front of a program that make it run as a user: nobody else's groups, no capability, and no way to any. */
export function wordsFor(user: QemuUser, rights: { groups?: readonly number[]; lowPorts?: boolean } = {}): string[] {
  if (user.kind === "daemon") return [];
  const caps = rights.lowPorts === true ? "-all,+net_bind_service" : "-all";
  const { groups = [] } = rights;
  return [
    setpriv(),
    `--reuid=${user.uid}`,
    `--regid=${user.uid}`,
    groups.length === 0 ? "--clear-groups" : `--groups=${groups.join()}`,
    ...["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=${caps}`),
    "--no-new-privs",
    "--",
  ];
}

/** As whom a trial guest runs: as a machine would. */
export function trialQemuUser(): QemuUser {
  return isRoot() && mapped() ? { kind: "own", uid: trialUser } : { kind: "daemon" };
}

/** The groups that let somebody without rights open a device. Undefined when none does. @throws errors of node:fs */
export function groupsFor(device: string): number[] | undefined {
  const { mode, gid } = statSync(device);
  if ((mode & 0o006) === 0o006) return [];
  return (mode & 0o060) === 0o060 && gid !== 0 ? [gid] : undefined;
}

/** Whether user mode is to listen on a port that takes a right (ip(7), ip_unprivileged_port_start). */
export function takesLowPorts(plan: VmPlan): boolean {
  const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  return (
    plan.nics.length === 0 && [plan.spec.sshPort, ...plan.spec.publish.map((one) => one.hostPort)].some((port = first) => port < first)
  );
}

/** Undefined when it need not be root's; empty when there is nothing to say. */
function whyRoot(layout: QemuLayout, { spec }: VmPlan): string | undefined {
  if (!isRoot()) return "";
  if (spec.shares.length > 0 && readShareType(layout) === "9p")
    return "it has the host's directories by 9p, which QEMU reads and writes itself";
  return mapped() ? undefined : "this user namespace has no user numbers to spare";
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Root of a user namespace may have few users beside itself (user_namespaces(7)). */
function mapped(): boolean {
  const extents = readFileSync("/proc/self/uid_map", "utf8").trim().split("\n");
  return extents.some((line) => {
    const [inside = 0, , length = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= machineUsers.first && trialUser < inside + length;
  });
}

function knownUser(layout: QemuLayout): number | undefined {
  if (!existsSync(layout.user)) return undefined;
  const uid = Number(readFileSync(layout.user, "utf8"));
  if (!Number.isInteger(uid) || uid < machineUsers.first || uid >= trialUser)
    throw new NexusError("wrong-state", `${layout.user} does not name a user of virtual machines`, { hint: "remove the file" });
  return uid;
}

/** In one go: nobody else takes a number between the look and the note. */
function newUser(layout: QemuLayout): number {
  const guests = dirname(layout.directory);
  const taken = new Set(readdirSync(guests).map((id) => knownUser(qemuLayout(join(guests, id)))));
  let uid: number = machineUsers.first;
  while (taken.has(uid)) uid++;
  writeWhole(layout.user, `${uid}\n`);
  return uid;
}

function setpriv(): string {
  const found = ["/usr/bin/setpriv", "/bin/setpriv", "/usr/local/bin/setpriv"].find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new NexusError("runtime-missing", "setpriv is not installed", { hint: "apt install util-linux" });
}
