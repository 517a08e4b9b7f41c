import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { deviceRules, kernelMounts, maskedPaths, readonlyPaths } from "./oci-security.ts";
import type { OciLayout } from "./oci-layout.ts";
import type { SandboxPlan } from "./sandbox.ts";
import { seccompProfile } from "./seccomp.ts";

/** What the configuration of a trusted sandbox is made from. */
export type TrustedInput = {
  plan: SandboxPlan;
  layout: OciLayout;
  /** Of the container itself; its parent carries the limits. */
  cgroupPath: string;
  cgroupVersion: 1 | 2;
  /** Path of the network namespace; absent: the host's own. */
  netns: string | undefined;
};

/**
 * Writes config.json (OCI runtime specification 1.0): as a node's, but without any capability, and as whoever owns the
 * workspace.
 */
export function writeTrustedConfig(input: TrustedInput): void {
  const { plan, layout, netns } = input;
  const { uid, gid } = sandboxUser(plan);
  const namespaces = [{ type: "pid" }, { type: "mount" }, { type: "ipc" }, { type: "uts" }, { type: "cgroup" }];
  const config = {
    ociVersion: "1.0.0",
    root: { path: layout.rootfs, readonly: false },
    hostname: "sandbox",
    process: {
      user: { uid, gid },
      args: plan.command,
      env: Object.entries(plan.env).map(([name, value]) => `${name}=${value}`),
      cwd: plan.cwd,
      capabilities: { bounding: [], permitted: [], effective: [], inheritable: [], ambient: [] },
      noNewPrivileges: true,
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: plan.limits.openFiles, hard: plan.limits.openFiles },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
      terminal: plan.terminal !== undefined,
      ...(plan.terminal === undefined ? {} : { consoleSize: { width: plan.terminal.columns, height: plan.terminal.rows } }),
    },
    mounts: [
      ...kernelMounts(input.cgroupVersion),
      ...sandboxEtc.map((name) => bind(join(layout.etc, name), `/etc/${name}`, ["ro", "noexec"])),
      ...(plan.workspace === undefined ? [] : [bind(plan.workspace.source, plan.workspace.target, ["rw"])]),
    ],
    annotations: { "org.nexus.run": plan.id },
    linux: {
      namespaces: netns === undefined ? namespaces : [...namespaces, { type: "network", path: netns }],
      cgroupsPath: input.cgroupPath,
      resources: { devices: deviceRules },
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile(process.arch),
    },
  };
  writeFileSync(layout.config, JSON.stringify(config), { mode: 0o600 });
}

/** Nobody, when there is no workspace whose owner it could be. */
export function sandboxUser(plan: SandboxPlan): { uid: number; gid: number } {
  return plan.workspace?.owner ?? { uid: 65_534, gid: 65_534 };
}

/** The files of /etc that are ours, not the image's. */
export const sandboxEtc = ["hosts", "hostname", "resolv.conf"] as const;

/** Names are the proxy's to resolve: there is no resolver inside. */
export function writeSandboxEtc(directory: string): void {
  writeFileSync(join(directory, "hosts"), "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost\n");
  writeFileSync(join(directory, "hostname"), "sandbox\n");
  writeFileSync(join(directory, "resolv.conf"), "");
}

function bind(source: string, destination: string, options: string[]) {
  return { destination, type: "bind", source, options: ["rbind", "rprivate", "nosuid", "nodev", ...options] };
}
