import type { MicrovmParts } from "./microvm.ts";
import type { Acceleration } from "./qemu-plan.ts";
import type { SandboxPlan } from "./sandbox.ts";

/** Everything it opens was opened for it: 3 is its port, 4 the kernel, 5 the initial file system, from 6 on the drives. */
const firstDrive = 6;

/** QEMU's arguments for a virtual machine that runs one command and has nothing else. */
export function microvmArguments(input: { plan: SandboxPlan; parts: MicrovmParts; accel: Acceleration }): string[] {
  const { plan, parts, accel } = input;
  const { memoryBytes, cpus, openFiles, scratchBytes } = plan.limits;
  const drives = ["root", "command", ...(plan.workspace === undefined ? [] : ["workspace"])];
  const kvm = accel.kind === "kvm";
  return [
    ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", `guest=${plan.id}`],
    // QEMU's own "microvm" has no clock a kernel could measure the processor by when the host is busy: it then hangs at boot.
    ["-machine", "q35,graphics=off,vmport=off,hpet=off"],
    ["-accel", kvm ? "kvm" : "tcg,thread=multi", "-cpu", kvm ? "host" : "max"],
    ["-smp", String(Math.max(1, Math.ceil(cpus))), "-m", `size=${Math.ceil(memoryBytes / 1048576)}M`],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-kernel", "/proc/self/fd/4", "-initrd", "/proc/self/fd/5"],
    ["-append", `${parts.cmdline} console=ttyS0 nexus.scratch=${scratchBytes} nexus.files=${openFiles}`],
    ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"],
    ["-device", "virtio-serial-pci", "-chardev", "socket,id=nexus,fd=3", "-device", "virtserialport,chardev=nexus,name=nexus"],
    ...drives.map((name, i) => {
      const writable = name === "workspace";
      const set = `${i + 1}`;
      return [
        ["-add-fd", `fd=${firstDrive + i},set=${set}`],
        [
          "-blockdev",
          `driver=raw,node-name=${name},read-only=${writable ? "off" : "on"},file.driver=file,file.filename=/dev/fdset/${set},file.locking=off`,
        ],
        ["-device", `virtio-blk-pci,drive=${name},serial=${name}`],
      ].flat();
    }),
  ].flat();
}
