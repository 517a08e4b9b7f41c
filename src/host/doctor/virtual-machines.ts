import { accessSync, constants, existsSync, statSync } from "node:fs";
import type { Check } from "./report.ts";

const kvm = "/dev/kvm";

/** QEMU, and whether the hardware helps it: a trial guest is booted. Who runs containers alone needs none. */
export const virtualMachines: Check = {
  name: "virtual-machines",
  needed: false,
  async probe({ probeMachines }) {
    if (probeMachines === undefined) return { ok: "skip", detail: "nobody tried" };
    const { version, acceleration, unfiltered, noVirtiofs } = await probeMachines();
    if (unfiltered !== undefined)
      return {
        ok: "warn",
        detail: `QEMU ${version} runs without a filter on its system calls: ${unfiltered}`,
        remedy: "install a QEMU built with seccomp",
      };
    const shares = noVirtiofs === undefined ? "virtiofs" : `9p alone, which mini has not: ${noVirtiofs}`;
    const how = acceleration.kind === "kvm" ? "with KVM" : "emulates";
    const detail = `QEMU ${version} ${how}: ${acceleration.why}; directories of the host by ${shares}`;
    if (acceleration.kind === "kvm") return { ok: "ok", detail };
    if (!existsSync(kvm)) return { ok: "ok", detail };
    if (!mayOpen(kvm)) return { ok: "warn", detail, remedy: "sudo usermod -aG kvm $USER, then log in again" };
    // Under root's daemon QEMU is not root.
    return isRootsAlone(kvm) ? { ok: "warn", detail, remedy: `chgrp kvm ${kvm} && chmod 0660 ${kvm}` } : { ok: "ok", detail };
  },
};

function isRootsAlone(device: string): boolean {
  const { mode, gid } = statSync(device);
  return (mode & 0o006) === 0 && ((mode & 0o060) === 0 || gid === 0);
}

function mayOpen(device: string): boolean {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
