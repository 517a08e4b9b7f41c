import { join } from "node:path";
import type { Log } from "../base/log.ts";
import { NexusError } from "../base/errors.ts";
import type { VmImageSource } from "../guests/qemu-image.ts";
import type { VmPlan } from "../guests/qemu-plan.ts";
import { createQemuDriver, type QemuDriver } from "../guests/qemu.ts";
import { buildMiniVm } from "../images/vm-mini.ts";
import type { TapStock } from "../kernel/taps.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Guests } from "./guests.ts";
import type { Machine, RunningVm, Vms } from "./kinds.ts";
import { Lives } from "./lives.ts";
import type { Volumes } from "./volumes.ts";
import { vmLife } from "./vm-life.ts";

export type Machines = { driver: QemuDriver; lives: Vms };

/** Virtual machines: their driver, and their lives by it. */
export function openMachines(o: {
  stateDirectory: string;
  /** Images are built and kept there. */
  cacheDirectory: string;
  guestsDirectory: string;
  guests: Guests;
  taps: TapStock;
  volumes: Volumes;
  chronicle: Chronicle;
  log: Log;
  planOf: (guest: Machine) => VmPlan;
}): Machines {
  const { guests, chronicle, log, planOf, guestsDirectory } = o;
  const images = imagesIn(join(o.cacheDirectory, "vm", "mini"));
  const driver = createQemuDriver({ directory: join(o.stateDirectory, "qemu"), images, guestsDirectory });
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
    chronicle,
    log,
    planOf,
    runtimeOf: () => "qemu",
  });
  return { driver, lives };
}

function imagesIn(directory: string): VmImageSource {
  return {
    async resolve(reference, progress) {
      if (reference === "mini") return buildMiniVm({ directory, progress });
      throw new NexusError("image-missing", `there is no image ${reference}`, { hint: "mini is built in" });
    },
    hold() {},
    release() {},
  };
}
