import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { delegatedCgroup } from "../../kernel/cgroup-delegation.ts";
import type { Check, DoctorContext, Finding } from "./report.ts";

/** Every driver of sandboxes says itself whether it works, having run a command. */
export const untrustedSandbox: Check = {
  name: "sandbox-untrusted",
  needed: false,
  probe: (context) => byDriver(context, "bubblewrap", "untrusted commands have no sandbox here"),
};

export const podman: Check = {
  name: "podman",
  needed: false,
  probe: (context) => byDriver(context, "podman", "trusted commands by podman do not run here"),
};

/** Filters of system calls, with every answer ours give. */
export const seccomp: Check = {
  name: "seccomp",
  needed: false,
  probe() {
    let actions: string[];
    try {
      actions = readFileSync("/proc/sys/kernel/seccomp/actions_avail", "utf8").trim().split(" ");
    } catch {
      return { ok: "fail", detail: "this kernel filters no system calls", remedy: "boot a kernel with CONFIG_SECCOMP_FILTER" };
    }
    const absent = ["kill_process", "errno", "allow"].filter((action) => !actions.includes(action));
    if (absent.length > 0)
      return { ok: "fail", detail: `filters cannot answer ${absent.join(", ")}`, remedy: "boot a newer kernel (4.14)" };
    if (process.arch !== "x64" && process.arch !== "arm64")
      return { ok: "fail", detail: `Nexus has no filter for ${process.arch}`, remedy: "run untrusted commands on x86-64 or arm64" };
    return { ok: "ok", detail: `system calls can be filtered (${process.arch})` };
  },
};

/** What untrusted commands see as their root directory. */
export const sandboxRoot: Check = {
  name: "sandbox-root",
  needed: false,
  probe({ sandboxRoot: root = { kind: "ready", name: "host", directory: undefined } }): Finding {
    const others = "nexus config set sandbox.rootfs takes another one; `host` is the host's own programs";
    switch (root.kind) {
      case "coming":
        return {
          ok: "warn",
          detail: `${root.name} is not here yet${root.progress === undefined ? "" : `: ${root.progress}`}`,
          remedy: "runs wait for it; `nexus events` tells when it is here",
        };
      case "failed":
        return { ok: "fail", detail: root.reason, remedy: root.hint ?? others };
      case "ready": {
        const { directory } = root;
        if (!hasShell(directory ?? "/")) return { ok: "fail", detail: `${directory ?? "/"} has no /bin/sh`, remedy: others };
        return { ok: "ok", detail: directory === undefined ? "the host's own programs, read-only" : `${root.name}, read-only` };
      }
    }
  },
};

/** For an ordinary user: only in a group of its own can it limit several processes together. */
export const delegation: Check = {
  name: "cgroup-delegation",
  needed: false,
  probe() {
    const given = delegatedCgroup();
    if (given !== undefined) return { ok: "ok", detail: `memory, processors and processes can be limited below ${given.parent}` };
    return {
      ok: "warn",
      detail: "no cgroup is delegated to this user: sandboxes are limited by rlimit only, each process for itself",
      remedy: "run nexusd as a systemd user service with Delegate=yes, or use root's daemon",
    };
  },
};

/** Names of sockets must fit struct sockaddr_un (unix(7)). */
export const socketPath: Check = {
  name: "socket-path",
  needed: true,
  probe({ socketPath: path }): Finding {
    const bytes = Buffer.byteLength(path);
    if (bytes <= longest) return { ok: "ok", detail: `${path}, ${bytes} of ${longest} bytes` };
    return {
      ok: "fail",
      detail: `${path} has ${bytes} bytes; sockets have at most ${longest}`,
      remedy: "name a shorter one with --socket",
    };
  },
};

const longest = 107;

async function byDriver(context: DoctorContext, name: string, otherwise: string): Promise<Finding> {
  const probe = context.probeSandboxes?.[name];
  if (probe === undefined) return { ok: "skip", detail: "nobody tried" };
  const found = await probe();
  if (found.works) return { ok: "ok", detail: found.detail };
  return { ok: "fail", detail: `${otherwise}: ${found.reason}`, remedy: found.hint ?? "the checks above tell what it lacks" };
}

/** A link may be absolute, and then means one inside: that it is there will do. */
function hasShell(root: string): boolean {
  return ["bin/sh", "usr/bin/sh"].some((path) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined);
}
