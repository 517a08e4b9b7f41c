import { join } from "node:path";
import type { Log } from "../base/log.ts";
import type { VmPlan } from "../guests/qemu-plan.ts";
import { createQemuDriver, type QemuDriver } from "../guests/qemu.ts";
import { VmImageStore } from "../images/vm-store.ts";
import type { TapStock } from "../kernel/taps.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Guests } from "./guests.ts";
import type { Machine, RunningVm, Vms } from "./kinds.ts";
import { Lives } from "./lives.ts";
import type { NetworkEngine } from "./network-access.ts";
import { matchDevices } from "./vm-devices.ts";
import type { Volumes } from "./volumes.ts";
import { vmLife } from "./vm-life.ts";

export type Machines = {
  driver: QemuDriver;
  lives: Vms;
  images: VmImageStore;
  /** Gives one that runs the devices it is to have. @throws as matchDevices */
  matchDevices: (guest: Machine) => Promise<void>;
};

/** Virtual machines: their driver, and their lives by it. */
export function openMachines(o: {
  stateDirectory: string;
  /** What can be built again is kept there. */
  cacheDirectory: string;
  guestsDirectory: string;
  guests: Guests;
  taps: TapStock;
  volumes: Volumes;
  chronicle: Chronicle;
  log: Log;
  wiring: NetworkEngine;
  planOf: (guest: Machine) => VmPlan;
}): Machines {
  const { guests, chronicle, log, planOf, guestsDirectory } = o;
  const images = new VmImageStore({ directory: join(o.stateDirectory, "vm-images"), miniDirectory: join(o.cacheDirectory, "vm", "mini") });
  images.sweep().catch((error: unknown) => log.warn({ error: String(error) }, "leftovers of virtual machine images could not be removed"));
  const driver = createQemuDriver({ directory: join(o.stateDirectory, "qemu"), images, guestsDirectory });
  const match = (guest: Machine): Promise<void> => matchDevices(guest, { driver, taps: o.taps, wiring: o.wiring, planOf });
  const lives = new Lives<Machine, VmPlan, RunningVm>({
    noun: "vm",
    isOurs: (guest) => guest.kind === "vm",
    guests,
    driver: vmLife(driver, o.taps),
    furnish: ({ spec }) =>
      o.volumes.make(
        spec.disks.map((disk) => disk.source),
        "disk",
      ),
    mend: async (guest) => {
      try {
        await match(guest);
      } catch (error) {
        log.warn(
          { guest: guest.name, error: String(error) },
          "a change that was cut short could not be finished: some device is not as written down",
        );
      }
    },
    chronicle,
    log,
    planOf,
    runtimeOf: () => "qemu",
  });
  return { driver, lives, images, matchDevices: match };
}
