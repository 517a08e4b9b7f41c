import { closeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { spareSlots } from "./qemu-devices.ts";
import { blockNode, ownDisks, type QemuDisk } from "./qemu-disk-arguments.ts";
import { openFor } from "./qemu-inherited.ts";
import { vhostDevice } from "./qemu-network-arguments.ts";
import { refuseDataElsewhere } from "./qemu-held.ts";
import type { BalloonState, VmNic, VmPlan } from "./qemu-plan.ts";
import { listOf } from "./qga.ts";
import type { JsonObject } from "./qmp-lines.ts";
import type { Qmp } from "./qmp.ts";

/** Adds a card to a running guest; nothing is left of it when that fails. @throws NexusError */
export async function plugNic(qmp: Qmp, plan: VmPlan, nic: VmNic): Promise<void> {
  refuseWithoutSlots(plan);
  const { number, tap } = nic;
  if (tap.kind !== "queues") throw new NexusError("internal", `the queues of tap ${tap.name} are not open here`);
  const queues = tap.fds.length;
  // A guest that let go of a card too late left this behind.
  await qmp.execute("netdev_del", { id: `net${number}` }).catch(() => undefined);
  using movers = new DisposableStack();
  const open = nic.vhost ? tap.fds.map(() => movers.adopt(openFor(vhostDevice, "write"), closeSync)) : [];
  const handed = { ...(await lendAll(qmp, `net${number}-`, tap.fds, "fd")), ...(await lendAll(qmp, `vhost${number}-`, open, "vhostfd")) };
  await qmp.execute("netdev_add", { type: "tap", id: `net${number}`, ...handed, vhost: nic.vhost });
  await undoing(
    () =>
      plugIntoSlot(qmp, {
        driver: "virtio-net-pci",
        id: `nic${number}`,
        netdev: `net${number}`,
        mac: nic.mac,
        host_mtu: nic.mtuBytes,
        romfile: "",
        ...(queues > 1 ? { mq: true, vectors: 2 * queues + 2 } : {}),
      }),
    () => qmp.execute("netdev_del", { id: `net${number}` }),
  );
}

/** Descriptors for a command, as it wants them: one under the one word, several under its plural. */
async function lendAll(qmp: Qmp, prefix: string, descriptors: readonly number[], word: string): Promise<JsonObject> {
  const names = descriptors.map((_, i) => `${prefix}${i}`);
  for (const [i, descriptor] of descriptors.entries()) await qmp.lend(names[i] ?? "", descriptor);
  return names.length === 0 ? {} : { [names.length === 1 ? word : `${word}s`]: names.join(":") };
}

export async function unplugNic(qmp: Qmp, number: number): Promise<void> {
  await unplug(qmp, `nic${number}`);
  await qmp.execute("netdev_del", { id: `net${number}` });
}

export async function plugDisk(qmp: Qmp, plan: VmPlan, disk: QemuDisk): Promise<void> {
  refuseWithoutSlots(plan);
  await qmp.execute("blockdev-del", { "node-name": `disk-${disk.name}` }).catch(() => undefined);
  using file = new DisposableStack();
  const descriptor = file.adopt(openFor(disk.path, disk.readOnly ? "read" : "write"), closeSync);
  await qmp.lendFile(descriptor, (name) =>
    qmp.execute(
      "blockdev-add",
      blockNode(disk, () => name),
    ),
  );
  await undoing(
    async () => {
      await refuseDataElsewhere(qmp);
      await plugIntoSlot(qmp, { driver: "virtio-blk-pci", id: `blk-${disk.name}`, drive: `disk-${disk.name}`, serial: disk.name });
    },
    () => qmp.execute("blockdev-del", { "node-name": `disk-${disk.name}` }),
  );
}

export async function unplugDisk(qmp: Qmp, name: string): Promise<void> {
  await unplug(qmp, `blk-${name}`);
  await qmp.execute("blockdev-del", { "node-name": `disk-${name}` });
}

/** What sits on ports, by our names for it. */
export async function pluggedDevices(qmp: Qmp): Promise<{ nics: number[]; disks: string[] }> {
  const names = listOf(await qmp.execute("qom-list", { path: "/machine/peripheral" })).map((one) => String(one["name"]));
  const after = (prefix: string): string[] => names.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  return { nics: after("nic").map(Number), disks: after("blk-").filter((name) => !ownDisks.includes(name)) };
}

/** Sets the target and waits up to five seconds for the guest to follow; a guest without a driver stays where it was. */
export async function inflate(qmp: Qmp, bytes: number): Promise<BalloonState> {
  await qmp.execute("balloon", { value: bytes });
  const end = performance.now() + 5000;
  for (;;) {
    const now = await balloonOf(qmp);
    // BALLOON_CHANGE comes at most once a second (qapi/machine.json): asking is sooner.
    if (now.actualBytes === bytes || performance.now() > end) return now;
    await delay(20);
  }
}

async function balloonOf(qmp: Qmp): Promise<BalloonState> {
  return { actualBytes: Number(((await qmp.execute("query-balloon")) as JsonObject)["actual"]) };
}

/** The guest has to let go of the device: one that does not, keeps it. @throws NexusError `timeout` */
async function unplug(qmp: Qmp, id: string): Promise<void> {
  const deleted = qmp.event(({ event, data }) => event === "DEVICE_DELETED" && data["device"] === id, {
    what: `the guest's consent to lose ${id}`,
    timeoutMs: 15_000,
  });
  await qmp.execute("device_del", { id }).catch((error: unknown) => {
    // Asked before, the guest still has it: it may let go now.
    if (!(error instanceof NexusError && /already in the process of unplug/.test(error.message))) throw error;
  });
  await deleted.catch((error: unknown) => {
    if (!(error instanceof NexusError) || error.code !== "timeout") throw error;
    throw new NexusError("timeout", error.message, {
      hint: "it may still be booting, or have it in use; stopped, it is not asked",
      cause: error,
    });
  });
}

async function plugIntoSlot(qmp: Qmp, device: JsonObject): Promise<void> {
  for (let slot = 0; ; slot++) {
    try {
      // Said, because QEMU would put a second device into a port, where no guest looks for one.
      await qmp.execute("device_add", { ...device, bus: `slot${slot}`, addr: "0" });
      return;
    } catch (error) {
      const occupied = error instanceof NexusError && /not available|in use by|doesn't support hotplug|slot.*occupied/i.test(error.message);
      if (!occupied) throw error;
      if (slot + 1 >= spareSlots)
        throw new NexusError("wrong-state", `all ${spareSlots} slots for added devices are in use`, {
          hint: "restart the virtual machine",
          cause: error,
        });
    }
  }
}

function refuseWithoutSlots(plan: VmPlan): void {
  if (plan.spec.machine === "microvm")
    throw new NexusError("unsupported", "a microvm takes no devices while it runs", { hint: "use machine q35" });
}

async function undoing(act: () => Promise<unknown>, undo: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    await undo().catch(() => undefined);
    throw error;
  }
}
