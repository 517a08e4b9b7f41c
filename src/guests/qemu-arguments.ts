import { unreachable } from "../base/exhaustive.ts";
import type { Acceleration, VmPlan } from "./qemu-plan.ts";
import type { VmImage } from "./qemu-image.ts";
import { comma, deviceOf, portArguments } from "./qemu-devices.ts";
import { diskArguments, type QemuDisk } from "./qemu-disk-arguments.ts";
import { networkArguments } from "./qemu-network-arguments.ts";
import { kernelWords } from "./qemu-kernel-words.ts";
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
};

/** QEMU's arguments, without its own name. Sockets and files are relative to the guest's directory, where it runs. */
export function qemuArguments(input: QemuInput): string[] {
  const { plan, layout, image, accel } = input;
  const { spec } = plan;
  const pci = spec.machine === "q35";
  const hasKernel = image.kernel !== undefined || spec.kernel !== undefined;
  return [
    ["-name", `guest=${plan.name},debug-threads=on`],
    ["-pidfile", layout.pidFile],
    ["-nodefaults", "-no-user-config", "-display", "none"],
    input.sandbox.kind === "on" ? [...input.sandbox.words] : [],
    // Its processors wait until its disks were looked at: letRun.
    ["-S"],
    ["-machine", machineOf(input)],
    // "max" is all that emulation knows; "host" all that this processor has.
    ["-accel", accel.kind === "kvm" ? "kvm" : "tcg,thread=multi", "-cpu", accel.kind === "kvm" ? "host" : "max"],
    ["-smp", `cpus=${spec.cpus}`, "-m", `size=${spec.mem}M`],
    ["-rtc", "base=utc", "-boot", "strict=on"],
    // A guest whose kernel gave up has failed: QEMU ends with status 1 instead of standing still.
    ["-action", "panic=exit-failure"],
    socket("monitor", socketNames.monitor),
    ["-mon", "chardev=monitor,mode=control"],
    socket("console", socketNames.console, ",logfile=log,logappend=on"),
    ["-serial", "chardev:console"],
    ["-device", deviceOf(plan, "virtio-serial")],
    socket("agent", socketNames.agent),
    ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"],
    ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", `${deviceOf(plan, "virtio-rng")},rng=rng`],
    // With free page reporting the host gets back what the guest does not use.
    ["-device", `${deviceOf(plan, "virtio-balloon")},id=balloon,deflate-on-oom=on,free-page-reporting=on`],
    pci ? ["-device", "pvpanic-pci"] : [],
    portArguments(plan, [...plan.nics.map((nic) => `nic${nic.number}`), ...spec.disks.map((disk) => `blk-${disk.name}`)]),
    input.firmware === undefined ? [] : firmwareArguments(input.firmware),
    hasKernel ? kernelArguments(input) : [],
    Object.keys(spec.env).length === 0 ? [] : ["-fw_cfg", "name=opt/nexus/env,file=environment"],
    input.hasScript === true ? ["-fw_cfg", "name=opt/nexus/setup,file=setup"] : [],
    diskArguments(plan, input.disks, { boots: !hasKernel }),
    spec.shares.flatMap((share) => [
      "-fsdev",
      `local,id=share-${share.name},path=${comma(share.source)},security_model=mapped-xattr${share.readOnly ? ",readonly=on" : ""}`,
      "-device",
      `${deviceOf(plan, "virtio-9p")},fsdev=share-${share.name},mount_tag=${share.name}`,
    ]),
    networkArguments(plan, input.sshPort),
  ].flat();
}

/** What the guest finds as opt/nexus/env: lines for a shell. */
export function environmentText(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join("");
}

function machineOf({ plan }: QemuInput): string {
  switch (plan.spec.machine) {
    case "q35":
      return "q35,graphics=off,vmport=off,hpet=off";
    case "microvm":
      return "microvm,acpi=on,rtc=on,isa-serial=on,auto-kernel-cmdline=on";
    default:
      return unreachable(plan.spec.machine);
  }
}

function socket(id: string, path: string, more = ""): string[] {
  return ["-chardev", `socket,id=${id},path=${path},server=on,wait=off${more}`];
}

function kernelArguments({ plan, image, timeStampKhz }: QemuInput): string[] {
  const { spec } = plan;
  const own = spec.kernel === undefined ? image.kernel : undefined;
  const kernel = spec.kernel ?? own?.path;
  const initrd = spec.initrd ?? own?.initrd;
  if (kernel === undefined) return [];
  return [
    "-kernel",
    kernel,
    ...(initrd === undefined ? [] : ["-initrd", initrd]),
    "-append",
    kernelWords(
      plan,
      `${own?.cmdline ?? "console=ttyS0"}${timeStampKhz === undefined ? "" : ` tsc_early_khz=${timeStampKhz} tsc=reliable`}`,
    ),
  ];
}

function firmwareArguments(firmware: { code: string; variables: string }): string[] {
  return [
    ["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${comma(firmware.code)}`],
    ["-drive", `if=pflash,unit=1,format=raw,file=${comma(firmware.variables)}`],
  ].flat();
}
