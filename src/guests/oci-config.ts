import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { NodeTmpfs } from "../spec/node.ts";
import type { ExecRequest, GuestPlan } from "./driver.ts";
import { nameFiles } from "./name-files.ts";
import type { OciLayout } from "./oci-layout.ts";
import { deviceRules, guestCapabilities, kernelMounts, maskedPaths, readonlyPaths } from "./oci-security.ts";
import { resolveUser } from "./oci-user.ts";
import type { ImageConfig } from "./rootfs.ts";
import { seccompProfile } from "./seccomp.ts";

/** What the configuration of one container is made from. */
export type OciInput = {
  plan: GuestPlan;
  layout: OciLayout;
  image: ImageConfig;
  /** Of the container itself; its parent carries the limits. */
  cgroupPath: string;
  cgroupVersion: 1 | 2;
  /** Absent: a network namespace of its own, with nothing in it. */
  netns: string | undefined;
  /** Where the root file system is, when not mounted in the guest's directory; it is then read-only. */
  sharedRoot?: string;
};

/** Annotation by which a container of ours is known. */
export const guestAnnotation = "org.nexus.guest";

/** Writes config.json (OCI runtime specification 1.0). @throws NexusError when the command or user cannot be decided */
export function writeOciConfig(input: OciInput): void {
  const { plan, layout } = input;
  const config = {
    ociVersion: "1.0.0",
    root: input.sharedRoot === undefined ? { path: layout.rootfs, readonly: false } : { path: input.sharedRoot, readonly: true },
    hostname: plan.hostname,
    process: { ...processOf(input), terminal: false },
    mounts: [
      ...kernelMounts(input.cgroupVersion),
      ...nameFiles.map((name) => boundFile(join(layout.etc, name), `/etc/${name}`)),
      ...[...plan.volumes.map(volume), ...(plan.spec.tmpfs ?? []).map(inMemory)].toSorted((a, b) => depth(a) - depth(b)),
    ],
    annotations: { [guestAnnotation]: plan.id },
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        { type: "cgroup" },
        input.netns === undefined ? { type: "network" } : { type: "network", path: input.netns },
      ],
      cgroupsPath: input.cgroupPath,
      resources: { devices: deviceRules },
      // Users other than root may ping and serve low ports as well.
      sysctl: { "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" },
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile(process.arch),
    },
  };
  writeFileSync(layout.config, JSON.stringify(config), { mode: 0o600 });
}

/** The process document of a command run inside: same rights and environment as the guest's own. */
export function execProcess(input: OciInput, request: ExecRequest): Record<string, unknown> {
  const wrong = Object.keys(request.env).find((name) => !/^[^=\0]+$/.test(name));
  if (wrong !== undefined) throw new NexusError("spec-invalid", `${JSON.stringify(wrong)} cannot be the name of an environment variable`);
  const own = processOf({ ...input, plan: { ...input.plan, spec: { ...input.plan.spec, command: ["/"] } } });
  const size = request.terminal;
  return {
    ...own,
    args: request.command,
    env: mergeEnv(
      own.env,
      Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
    ),
    cwd: request.cwd ?? own.cwd,
    terminal: size !== undefined,
    ...(size === undefined ? {} : { consoleSize: { width: size.columns, height: size.rows } }),
  };
}

/** What to run: the image's entry point keeps its place before a given command, as in every OCI tool. */
export function commandOf(image: ImageConfig, command: readonly string[]): string[] {
  return [...image.entrypoint, ...(command.length > 0 ? command : image.command)];
}

function processOf({ plan, layout, image, sharedRoot }: OciInput) {
  const args = commandOf(image, plan.spec.command);
  if (args.length === 0) {
    throw new NexusError("runtime-failed", `image ${plan.spec.image} has no command of its own and none was given`, {
      hint: `nexus node create ${plan.name} … -- COMMAND`,
    });
  }
  const user = resolveUser(sharedRoot ?? layout.rootfs, image.user);
  const base = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    `HOME=${user.home}`,
    "TERM=xterm",
    "container=nexus",
    `HOSTNAME=${plan.hostname}`,
  ];
  const capabilities = guestCapabilities;
  return {
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args,
    env: mergeEnv(
      base,
      image.env,
      Object.entries(plan.spec.env).map(([name, value]) => `${name}=${value}`),
    ),
    cwd: image.workingDirectory === "" ? "/" : image.workingDirectory,
    capabilities: { bounding: capabilities, permitted: capabilities, effective: capabilities, inheritable: [], ambient: [] },
    noNewPrivileges: true,
    rlimits: [
      { type: "RLIMIT_NOFILE", ...openFiles() },
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
    ],
    oomScoreAdj: oomScore(),
  };
}

/** Later lists win, name by name; order stays that of the first mention. */
function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const byName = new Map<string, string>();
  for (const line of lists.flat()) byName.set(line.split("=", 1)[0] ?? line, line);
  return [...byName.values()];
}

function boundFile(source: string, destination: string) {
  return { destination, type: "bind", source, options: ["bind", "rw", "nosuid", "nodev", "noexec"] };
}

/** Mounts made on the host later do not appear in it, nor the guest's on the host. What is mounted inside the directory comes along. */
function volume({ source, target, readOnly }: GuestPlan["volumes"][number]) {
  const options = [readOnly ? "ro" : "rw", "nosuid", "nodev"];
  // For what is mounted inside too (mount_setattr(2), AT_RECURSIVE); without the call the runtime refuses the words.
  const recursive = hasMountSetattr() ? [...(readOnly ? ["rro"] : []), "rnosuid", "rnodev"] : [];
  return { destination: target, type: "bind", source, options: ["rbind", "rprivate", ...options, ...recursive] };
}

/** As other runtimes mount it: nothing in it has rights, and nothing runs unless that is asked for. */
function inMemory({ target, size, mode = "1777", uid, gid, readOnly, exec }: NodeTmpfs) {
  const words = [readOnly ? "ro" : "rw", "nosuid", "nodev", exec ? "exec" : "noexec", `mode=${mode}`];
  const numbers = Object.entries({ size, uid, gid }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return { destination: target, type: "tmpfs", source: "tmpfs", options: [...words, ...numbers] };
}

/** What lies in another is mounted after it. */
function depth({ destination }: { destination: string }): number {
  return destination.split("/").length;
}

/** Since Linux 5.12. */
function hasMountSetattr(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number.parseFloat);
  return major > 5 || (major === 5 && minor >= 12);
}

/** At most what we have: raising a hard limit takes CAP_SYS_RESOURCE, which a daemon need not hold. */
function openFiles(): { soft: number; hard: number } {
  const line = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  const own = line?.[2] === undefined || line[2] === "unlimited" ? Number.POSITIVE_INFINITY : Number(line[2]);
  const hard = Math.min(own, 1_048_576);
  return { soft: Math.min(hard, 65_536), hard };
}

/** Guests go before the daemon when the host runs out; the kernel lets anyone raise the score, nobody lower it. */
function oomScore(): number {
  const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  return Math.min(1000, Math.max(own, 100));
}
