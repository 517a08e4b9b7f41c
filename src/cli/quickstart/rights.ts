import { NexusError } from "../../base/errors.ts";

export type Caller = {
  platform: NodeJS.Platform;
  uid: number;
  /** The text of /proc/self/status (proc_pid_status(5)). */
  status: string;
  /** How a user becomes root here. */
  sudo: boolean;
};

/** Capability numbers of include/uapi/linux/capability.h. */
const needed = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n } as const;

/** Refuses a caller that could not finish, with the command that could. @throws NexusError unsupported, not-permitted */
export function checkRights(caller: Caller, again: string): void {
  if (caller.platform !== "linux") {
    throw new NexusError("unsupported", `Nexus needs Linux, and this is ${caller.platform}`, {
      hint: "run it on a Linux machine or in a virtual machine",
    });
  }
  if (caller.uid !== 0) {
    throw new NexusError("not-permitted", `networks and containers are made by root, and you are user ${caller.uid}; nothing was touched`, {
      hint: `run: ${caller.sudo ? `sudo ${again}` : `su -c '${again.replaceAll("'", `'\\''`)}'`}`,
    });
  }
  const missing = missingCapabilities(caller.status);
  if (missing.length === 0) return;
  throw new NexusError(
    "not-permitted",
    `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing, though you are root; nothing was touched`,
    {
      hint: `inside a container? start it with --privileged, then run: ${again}`,
      details: { missing },
    },
  );
}

function missingCapabilities(status: string): string[] {
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return Object.entries(needed).flatMap(([name, bit]) => (((held >> bit) & 1n) === 1n ? [] : [name]));
}
