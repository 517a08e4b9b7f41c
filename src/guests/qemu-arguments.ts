import { unreachable } from "../base/exhaustive.ts";
import type { Acceleration, VmPlan } from "./qemu-plan.ts";
import type { VmImage } from "./qemu-image.ts";
import { deviceOf, portArguments } from "./qemu-devices.ts";
import { diskArguments, type QemuDisk } from "./qemu-disk-arguments.ts";
import { networkArguments } from "./qemu-network-arguments.ts";
import { sharedMemory, shareArguments } from "./qemu-shares.ts";
import { kernelWords } from "./qemu-kernel-words.ts";
import type { Inherited } from "./qemu-inherited.ts";
import type { QemuSandbox } from "./qemu-program.ts";
import { socketNames, type QemuLayout } from "./qemu-layout.ts";

/** All that decides QEMU's command line. */
export type QemuInput = {
  plan: VmPlan;
  layout: QemuLayout;
  image: VmImage;
  accel: Acceleration;
  sandbox: QemuSandbox;
  /** The root disk, when there is one, first. */
  disks: readonly QemuDisk[];
  /** Host port to the guest's SSH, in user mode. */
  sshPort?: number;
  firmware?: { code: string; variables: string };
  /** How fast the time stamp counter runs, for a kernel that can find out by nothing else: an emulated microvm has no other clock. */
  timeStampKhz?: number;
  /** The guest has a script to set itself up by. */
  hasScript?: boolean;
  /** Its numbers of the connections to virtiofsd, one for each share; undefined with 9p, or none. */
  shareFds?: readonly number[];
  /** What it is to get open is added; the queues of its taps are there. */
  inherited: Inherited;
};

/** QEMU's arguments, without its own name. */
export function qemuArguments(input: QemuInput): string[] {
  const { plan, layout, image, accel, inherited } = input;
  const { spec } = plan;
  const pci = spec.machine === "q35";
  const memory = sharedMemory(plan, input.shareFds);
  const hasKernel = image.kernel !== undefined || spec.kernel !== undefined;
  const socket = (id: string, name: string, more = ""): string[] => {
    const number = inherited.number({ kind: "listener", name });
    return ["-chardev", `socket,id=${id},fd=${number},server=on,wait=off${more}`];
  };
  const words = [
    ["-name", `guest=${plan.name},debug-threads=on`],
    ["-nodefaults", "-no-user-config", "-display", "none"],
    input.sandbox.kind === "on" ? [...input.sandbox.words] : [],
    // Its processors wait until its disks were looked at: letRun.
    ["-S"],
    memory.words,
    ["-machine", `${machineOf(input)}${memory.machine}`],
    // "max" is all that emulation knows; "host" all that this processor has.
    ["-accel", accel.kind === "kvm" ? "kvm" : "tcg,thread=multi", "-cpu", accel.kind === "kvm" ? "host" : "max"],
    ["-smp", `cpus=${spec.cpus}`, "-m", `size=${spec.mem}M`],
    ["-rtc", "base=utc", "-boot", "strict=on"],
    // A guest whose kernel gave up has failed: QEMU ends with status 1 instead of standing still.
    ["-action", "panic=exit-failure"],
    socket("monitor", socketNames.monitor),
    ["-mon", "chardev=monitor,mode=control"],
    socket("console", socketNames.console, `,logfile=${inherited.file(layout.log, "append")},logappend=on`),
    ["-serial", "chardev:console"],
    ["-device", deviceOf(plan, "virtio-serial")],
    socket("agent", socketNames.agent),
    ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"],
    ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", `${deviceOf(plan, "virtio-rng")},rng=rng`],
    // With free page reporting the host gets back what the guest does not use.
    ["-device", `${deviceOf(plan, "virtio-balloon")},id=balloon,deflate-on-oom=on,free-page-reporting=on`],
    pci ? ["-device", "pvpanic-pci"] : [],
    portArguments(plan, [...plan.nics.map((nic) => `nic${nic.number}`), ...spec.disks.map((disk) => `blk-${disk.name}`)]),
    input.firmware === undefined ? [] : firmwareArguments(input.firmware, inherited),
    hasKernel ? kernelArguments(input, inherited) : [],
    Object.keys(spec.env).length === 0 ? [] : ["-fw_cfg", `name=opt/nexus/env,file=${inherited.read(layout.environment)}`],
    input.hasScript === true ? ["-fw_cfg", `name=opt/nexus/setup,file=${inherited.read(layout.setup)}`] : [],
    diskArguments(plan, input.disks, { boots: !hasKernel, inherited }),
    shareArguments(plan, input.shareFds),
    networkArguments(plan, input.sshPort, inherited),
  ].flat();
  return [...words, ...inherited.words];
}

/** What the guest finds as opt/nexus/env: lines for a shell. */
export function environmentText(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join("");
}

function machineOf({ plan, firmware }: QemuInput): string {
  switch (plan.spec.machine) {
    case "q35":
      return `q35,graphics=off,vmport=off,hpet=off${firmware === undefined ? "" : ",pflash0=firmware,pflash1=variables"}`;
    case "microvm":
      return "microvm,acpi=on,rtc=on,isa-serial=on,auto-kernel-cmdline=on";
    default:
      return unreachable(plan.spec.machine);
  }
}

function kernelArguments({ plan, image, timeStampKhz }: QemuInput, inherited: Inherited): string[] {
  const { spec } = plan;
  const own = spec.kernel === undefined ? image.kernel : undefined;
  const kernel = spec.kernel ?? own?.path;
  const initrd = spec.initrd ?? own?.initrd;
  if (kernel === undefined) return [];
  return [
    "-kernel",
    inherited.read(kernel),
    ...(initrd === undefined ? [] : ["-initrd", inherited.read(initrd)]),
    "-append",
    kernelWords(
      plan,
      `${own?.cmdline ?? "console=ttyS0"}${timeStampKhz === undefined ? "" : ` tsc_early_khz=${timeStampKhz} tsc=reliable`}`,
    ),
  ];
}

function firmwareArguments(firmware: { code: string; variables: string }, inherited: Inherited): string[] {
  const node = (name: string, path: string, readOnly: boolean): string[] => {
    const filename = inherited.file(path, readOnly ? "read" : "write");
    const file = { driver: "file", filename, "read-only": readOnly };
    return ["-blockdev", JSON.stringify({ "node-name": name, driver: "raw", "read-only": readOnly, file })];
  };
  return [...node("firmware", firmware.code, true), ...node("variables", firmware.variables, false)];
}
