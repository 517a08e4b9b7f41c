import { execFileSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setLimits } from "../kernel/cgroup-limits.ts";
import { delegatedCgroup } from "../kernel/cgroup-delegation.ts";
import { type CgroupHost, killCgroup, removeCgroup } from "../kernel/cgroups.ts";
import { holdDirectory } from "../kernel/mount-trees.ts";
import type { Bubblewrap } from "./bubblewrap.ts";
import { bubblewrapCommand, workspaceFd } from "./bubblewrap-arguments.ts";
import { HeldNetworks } from "./bubblewrap-networks.ts";
import { bringUp, spawnBubblewrap } from "./bubblewrap-prepare.ts";
import { maskedProc } from "./bubblewrap-stage.ts";
import { begin, ownProcesses } from "./bubblewrap-start.ts";
import { openStreams } from "./bubblewrap-streams.ts";
import { cgroupLimits, checkByDoing } from "./bubblewrap-check.ts";
import { findProgram, hostFilter } from "./bubblewrap-program.ts";
import { checkPlan } from "./sandbox-plan.ts";
import { directoryRoot, hostRoot, ownDirectories, type RootEntry, sandboxUser } from "./sandbox-root.ts";
import { serveListener } from "./sandbox-network.ts";
import type { SandboxDriver, SandboxPlan, SandboxProcess } from "./sandbox.ts";

export type UserBubblewrapOptions = {
  /** Its path; by default looked for on PATH. */
  program?: string;
  /** Of this driver alone; what completes root directories is put there. */
  directory: string;
};

/**
 * Runs commands by bubblewrap as the ordinary user this process is. Without a cgroup of the user's own, memory and processes are
 * held by rlimits, each process for itself, which `check` says.
 */
export function createUserBubblewrapDriver(options: UserBubblewrapOptions): Bubblewrap {
  let followed: string | undefined;
  let made: UserGround | undefined;
  const ground = (): UserGround =>
    (made ??= makeUserGround({ program: options.program ?? findProgram(), filter: hostFilter(), directory: options.directory }));
  const driver: SandboxDriver = {
    name: "bubblewrap",
    root: "directory",
    check: () => checkByDoing(() => ({ driver, program: ground().program, limits: limitsOf(ground().cgroups), root: followed })),
    async start(plan, signal) {
      checkPlan(plan, ownDirectories);
      return await startAsUser(plan, ground(), signal);
    },
    async sweep({ id }) {
      const { cgroups } = ground();
      if (cgroups === undefined) return;
      await killCgroup(cgroups.host, `${cgroups.parent}/${id}`);
      removeCgroup(cgroups.host, `${cgroups.parent}/${id}`);
    },
  };
  return {
    ...driver,
    follow: (root) => void (followed = root),
    async [Symbol.asyncDispose]() {
      made?.networks[Symbol.dispose]();
      made = undefined;
    },
  };
}

function limitsOf(cgroups: UserGround["cgroups"]): string {
  return cgroups === undefined
    ? "memory and processes limited by rlimit only, each process for itself, and processor time not at all: no cgroup is delegated to this user"
    : cgroupLimits(cgroups.host);
}

/** What the sandboxes of an ordinary user are made from. */
type UserGround = {
  program: string;
  filter: Uint8Array;
  networks: HeldNetworks;
  /** What completes root directories is put there. */
  directory: string;
  masks: readonly string[];
  /** Absent when this user was given no group to limit others in: then rlimits hold each process, and no group of them. */
  cgroups: { host: CgroupHost; parent: string } | undefined;
  bindsByDescriptor: boolean;
};

/** @throws errors of node:fs */
function makeUserGround(options: Pick<UserGround, "program" | "filter" | "directory">): UserGround {
  const { program, filter, directory } = options;
  mkdirSync(join(directory, "empty"), { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, "nothing"), "", { mode: 0o600 });
  const masks = maskedProc().flatMap((mask) => ["--ro-bind", join(directory, mask.directory ? "empty" : "nothing"), mask.path]);
  const help = execFileSync(program, ["--help"], { encoding: "utf8", timeout: 10_000 });
  return {
    program,
    filter,
    networks: new HeldNetworks(),
    directory,
    masks,
    cgroups: delegatedCgroup(),
    bindsByDescriptor: help.includes("--bind-fd"),
  };
}

/** As the user itself: bubblewrap mounts everything, from the host's own tree. @throws as `startPlanned` */
async function startAsUser(plan: SandboxPlan, ground: UserGround, signal: AbortSignal): Promise<SandboxProcess> {
  await using stack = new AsyncDisposableStack();
  const { egress, workspace, terminal, limits } = plan;
  const { memoryBytes, cpus, pids } = limits;
  const cgroup = ground.cgroups && { host: ground.cgroups.host, path: `${ground.cgroups.parent}/${plan.id}` };
  if (cgroup !== undefined) {
    stack.defer(async () => {
      await killCgroup(cgroup.host, cgroup.path);
      removeCgroup(cgroup.host, cgroup.path);
    });
    setLimits(cgroup.host, cgroup.path, { memoryBytes, cpus, pids: pids + ownProcesses });
  }
  const network = egress.kind === "proxy" ? stack.use(await ground.networks.open(egress.port)) : undefined;
  if (network !== undefined && egress.kind === "proxy") stack.use(serveListener(network.listener, egress.serve));
  signal.throwIfAborted();
  using held = workspace && holdDirectory(workspace.source);
  const root = (plan.root === undefined ? hostRoot() : directoryRoot(plan.root.lower)).flatMap((entry) =>
    wordsFor(entry, ground.directory),
  );
  const mounts = [...root, ...scratch(limits.scratchBytes), ...ground.masks, ...bindWords(workspace, ground), "--remount-ro", "/"];
  const command = bubblewrapCommand(ground.program, {
    mounts,
    terminal: terminal !== undefined,
    ...(egress.kind === "none" ? { makesNetwork: true as const } : {}),
  });
  const streams = openStreams({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, terminal, "/dev/ptmx");
  const [program, ...words] = [...(network?.enter ?? []), ...command] as [string, ...string[]];
  const extra = held === undefined ? [] : [held.number];
  const spawned = spawnBubblewrap({ command: [program, ...words], filter: ground.filter, streams, extra });
  const up = await bringUp(spawned, { ownNetwork: egress.kind !== "host", cgroup }, stack);
  const rlimits = cgroup === undefined ? { addressSpaceBytes: memoryBytes, processes: pids + ownProcesses - 1 } : undefined;
  const begun = await begin(plan, { ...up, cgroup }, { stack, signal, ...(rlimits && { rlimits }) });
  return rlimits === undefined ? begun : { ...begun, limitedBy: "rlimits" };
}

/** Below places the command cannot write, in this order; the workspace comes after all of them, and nothing below it. */
function scratch(bytes: number): string[] {
  const size = (part: number): string[] => ["--size", String(Math.max(4096, Math.floor(bytes * part)))];
  return [
    ..."--proc /proc --dev /dev --dir /sys --dir /root --dir /mnt".split(" "),
    ..."--perms 1777".split(" "),
    ...size(1 / 8),
    ..."--tmpfs /dev/shm --remount-ro /dev --perms 1777".split(" "),
    ...size(1 / 2),
    ..."--tmpfs /tmp".split(" "),
    ...size(1 / 8),
    ..."--tmpfs /run --perms 0700".split(" "),
    ...size(1 / 4),
    "--tmpfs",
    sandboxUser.home,
  ];
}

/** By the descriptor where bubblewrap takes one (0.10, and what distributions have mended): it then refuses what was put in its place. */
function bindWords(workspace: SandboxPlan["workspace"], ground: UserGround): string[] {
  if (workspace === undefined) return [];
  return ground.bindsByDescriptor ? ["--bind-fd", String(workspaceFd), workspace.target] : ["--bind", workspace.source, workspace.target];
}

function wordsFor(entry: RootEntry, directory: string): string[] {
  switch (entry.kind) {
    case "tree":
      return ["--ro-bind", entry.source, entry.target];
    case "link":
      return ["--dir", dirname(entry.target), "--symlink", entry.to, entry.target];
    case "file":
      return ["--ro-bind", kept(entry.text, directory), entry.target];
  }
}

/** A file with this text. By what is in it: sandboxes that run have it mounted, and it must stay as it is. */
function kept(text: string, directory: string): string {
  const file = join(directory, `file-${createHash("sha256").update(text, "latin1").digest("hex").slice(0, 32)}`);
  if (existsSync(file)) return file;
  const made = `${file}.${randomUUID()}`;
  writeFileSync(made, text, { encoding: "latin1", mode: 0o644 });
  renameSync(made, file);
  return file;
}
