import { NexusError } from "../base/errors.ts";
import { ipFamily } from "../base/ip.ts";
import { unreachable } from "../base/exhaustive.ts";
import { deviceOf, onPort } from "./qemu-devices.ts";
import { firstInherited, type Inherited } from "./qemu-inherited.ts";
import type { TapHandover, VmNic, VmPlan } from "./qemu-plan.ts";

/** Descriptors QEMU is to inherit before all others: those of all cards' queues. */
export function inheritedFds(plan: VmPlan): number[] {
  return plan.nics.flatMap((nic) => (nic.tap.kind === "queues" ? nic.tap.fds : []));
}

/** A card on each network, or, with none, one card in user mode. @throws NexusError `unsupported` for a publish user mode cannot carry */
export function networkArguments(plan: VmPlan, sshPort: number | undefined, inherited: Inherited): string[] {
  if (plan.nics.length === 0) {
    const forwards = userForwards(plan, sshPort).map((forward) => `,hostfwd=${forward}`);
    const name = plan.hostname === "" ? "" : `,hostname=${plan.hostname}`;
    return ["-netdev", `user,id=net0${name}${forwards.join("")}`, "-device", `${card(plan, 0)},netdev=net0,mac=${plan.userMac}`];
  }
  let next = firstInherited;
  return plan.nics.flatMap((nic) => {
    const { number } = nic;
    const numbers = nic.tap.kind === "queues" ? nic.tap.fds.map(() => next++) : [];
    return [
      "-netdev",
      tapText(nic, numbers, inherited),
      "-device",
      `${card(plan, number)}${onPort(plan, `nic${number}`)},netdev=net${number},mac=${nic.mac}${queueText(plan, nic)},host_mtu=${nic.mtuBytes}`,
    ];
  });
}

/** Forwardings of user mode in QEMU's words: [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport. */
export function userForwards(plan: VmPlan, sshPort: number | undefined): string[] {
  const published = plan.spec.publish.flatMap((publish) => {
    if (publish.hostAddress !== undefined && ipFamily(publish.hostAddress) === 6) {
      throw new NexusError("unsupported", `user mode cannot listen on ${publish.hostAddress}: it forwards IPv4 only`, {
        hint: "attach the virtual machine to a network",
      });
    }
    const width = (publish.hostPortEnd ?? publish.hostPort) - publish.hostPort + 1;
    return Array.from({ length: width }, (_, i) => {
      return `${publish.protocol}:${publish.hostAddress ?? ""}:${publish.hostPort + i}-:${publish.guestPort + i}`;
    });
  });
  return sshPort === undefined ? published : [`tcp:127.0.0.1:${sshPort}-:22`, ...published];
}

/** Numbers that QEMU knows the inherited queues of taps by, by the taps' names. */
export function inheritedQueues(plan: VmPlan): Record<string, number[]> {
  let next = firstInherited;
  return Object.fromEntries(plan.nics.map(({ tap }) => [tap.name, tap.kind === "queues" ? tap.fds.map(() => next++) : []]));
}

function tapText(nic: VmNic, fds: readonly number[], inherited: Inherited): string {
  const vhost = `vhost=${nic.vhost ? "on" : "off"}`;
  const several = (name: string, numbers: readonly number[]): string => `,${name}${numbers.length === 1 ? "" : "s"}=${numbers.join(":")}`;
  switch (nic.tap.kind) {
    case "queues": {
      const movers = nic.vhost ? fds.map(() => inherited.number({ kind: "file", path: vhostDevice, access: "write" })) : [];
      return `tap,id=net${nic.number}${several("fd", fds)},${vhost}${nic.vhost ? several("vhostfd", movers) : ""}`;
    }
    case "link":
      return `tap,id=net${nic.number},ifname=${nic.tap.name},script=no,downscript=no,${vhost}${nic.tap.queues > 1 ? `,queues=${nic.tap.queues}` : ""}`;
    default:
      return unreachable(nic.tap);
  }
}

/** Moves the packets of one queue, for whom it was opened. */
export const vhostDevice = "/dev/vhost-net";

/** Without its boot ROM: it is megabytes to map and seconds of DHCP for a guest that boots from a disk or a kernel. */
function card(plan: VmPlan, number: number): string {
  return `${deviceOf(plan, "virtio-net")},id=nic${number}${plan.spec.machine === "q35" ? ",romfile=" : ""}`;
}

/** Two interrupts for each queue, one for changes and one for control (virtio specification §5.1.2). */
function queueText(plan: VmPlan, nic: VmNic): string {
  const queues = queuesOf(nic.tap);
  if (queues === 1) return "";
  return `,mq=on${plan.spec.machine === "q35" ? `,vectors=${2 * queues + 2}` : ""}`;
}

export function queuesOf(tap: TapHandover): number {
  return tap.kind === "queues" ? tap.fds.length : tap.queues;
}
