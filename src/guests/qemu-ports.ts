import { NexusError } from "../base/errors.ts";
import type { Ip } from "../base/ip.ts";
import { testPort } from "../kernel/port-test.ts";
import type { VmPlan } from "./qemu-plan.ts";

/**
 * The host port for a guest's SSH in user mode: the one asked for, or the first free one from 2222 that is not in `except`.
 * QEMU binds it a moment later and may find it taken meanwhile: then the next is tried. @throws NexusError `port-taken`
 */
export function chooseSshPort(plan: VmPlan, except: ReadonlySet<number>): number | undefined {
  if (plan.nics.length > 0) return undefined;
  const wanted = plan.spec.sshPort;
  if (wanted !== undefined) {
    if (isFree(wanted)) return wanted;
    throw new NexusError("port-taken", `port ${wanted} for SSH to ${plan.name} is in use`, {
      hint: "without `sshPort` a free one is taken",
    });
  }
  const published = new Set(plan.spec.publish.map((publish) => Number(publish.hostPort)));
  for (let port = firstPort; port <= 65535; port++) if (!except.has(port) && !published.has(port) && isFree(port)) return port;
  throw new NexusError("port-taken", `every port from ${firstPort} up is in use`);
}

function isFree(port: number): boolean {
  const found = testPort("tcp", port, loopback);
  if (found === "not-permitted")
    throw new NexusError("not-permitted", `port ${port} for SSH is below those a user may take`, {
      hint: "without `sshPort` one from 2222 up is taken",
    });
  if (found === "no-such-address") throw new NexusError("unsupported", `this host has no ${loopback}: is its loopback interface up?`);
  return found === "free";
}

/** The port QEMU's words say it could not forward. */
export function refusedForward(words: string): number | undefined {
  const match = /Could not set up host forwarding rule '(?:tcp|udp):[^:]*:(\d+)-/.exec(words);
  return match === null ? undefined : Number(match[1]);
}

const firstPort = 2222;
const loopback = "127.0.0.1" as Ip;
