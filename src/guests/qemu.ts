import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { waitForExit } from "../kernel/processes.ts";
import { timeStampKhz } from "../kernel/time-stamp.ts";
import { defaultLogLimits, readLog } from "./guest-log.ts";
import { execByAgent } from "./qga-exec.ts";
import { GuestAgent } from "./qga.ts";
import { type AccelPlace, chooseAcceleration, kvmDevice } from "./qemu-accel.ts";
import { environmentText, qemuArguments } from "./qemu-arguments.ts";
import { openConsole } from "./qemu-console.ts";
import { disksOf, examineWhole, prepareDisk, prepareDisks, prepareFirmware } from "./qemu-disks.ts";
import { qemuExitOf } from "./qemu-exit.ts";
import { letRun } from "./qemu-held.ts";
import { inflate, plugDisk, pluggedDevices, plugNic, unplugDisk, unplugNic } from "./qemu-hotplug.ts";
import type { VmImage, VmImageSource } from "./qemu-image.ts";
import { endQemu, launchQemu } from "./qemu-launch.ts";
import { type QemuLayout, qemuLayout, socketNames } from "./qemu-layout.ts";
import { Inherited } from "./qemu-inherited.ts";
import { inheritedFds, inheritedQueues } from "./qemu-network-arguments.ts";
import type { Acceleration, VmDriver, VmPlan } from "./qemu-plan.ts";
import { chooseSshPort } from "./qemu-ports.ts";
import { findQemuProcess, openQemuProcess, tapQueuesIn } from "./qemu-process.ts";
import { findQemu, type QemuProgram } from "./qemu-program.ts";
import { chooseShareType, openShares, readShareType } from "./qemu-shares.ts";
import { readStarted, writeStarted } from "./qemu-started.ts";
import { groupsFor, qemuUser, seenUser, takesLowPorts, trialQemuUser, wordsFor } from "./qemu-user.ts";
import type { ConsoleLogLimits } from "./qemu-supervisor.ts";
import { type Lease, SharedConnections } from "./qemu-shared.ts";
import { listOf } from "./qga.ts";
import { Qmp } from "./qmp.ts";
import { removeTree } from "./remove-tree.ts";
import { findVirtiofsd, type Virtiofsd } from "./virtiofsd.ts";
import { agentFiles } from "./vm-files.ts";
import { writeWhole } from "./write-whole.ts";

export type QemuOptions = {
  /** For the trial of KVM and what came of it. */
  directory: string;
  images: VmImageSource;
  /** Directories of guests, `<here>/<id>`; only `list` looks there. */
  guestsDirectory?: string;
  /** By default those of the host. */
  qemu?: { path?: string; imageTool?: string };
  kvmDevice?: string;
  virtiofsd?: string;
  startDeadlineMs?: number;
  log?: ConsoleLogLimits;
};

export type QemuDriver = VmDriver & {
  /** QEMU and how it would run guests here, tried. @throws NexusError `runtime-missing` */
  probe(): Promise<{ program: QemuProgram; accel: Acceleration; virtiofsd: Virtiofsd }>;
};

/** Virtual machines by QEMU. Nothing of a guest is kept in memory: another process with the same directories goes on where this one was. */
export function createQemuDriver(options: QemuOptions): QemuDriver {
  const monitors = new SharedConnections<Qmp>();
  const agents = new SharedConnections<GuestAgent>();
  let found: Promise<QemuProgram> | undefined;

  const qemu = (): Promise<QemuProgram> => {
    found ??= findQemu(options.qemu);
    found.catch(() => (found = undefined));
    return found;
  };
  let carrier: Promise<Virtiofsd> | undefined;
  const virtiofsd = (): Promise<Virtiofsd> => {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    carrier ??= findVirtiofsd(options.directory, options.virtiofsd);
    // What is missing may be installed by the next time.
    carrier.then(
      (is) => is.kind === "unusable" && (carrier = undefined),
      () => (carrier = undefined),
    );
    return carrier;
  };
  const accelPlace = (program: QemuProgram): AccelPlace => ({
    directory: options.directory,
    program: program.path,
    user: trialQemuUser(),
    ...(options.kvmDevice === undefined ? {} : { device: options.kvmDevice }),
  });
  const monitor = (plan: Pick<VmPlan, "directory">, timeoutMs = 10_000): Promise<Lease<Qmp>> =>
    monitors.lease(plan.directory, () => Qmp.connect(plan.directory, socketNames.monitor, { timeoutMs }));
  const agent = (plan: Pick<VmPlan, "directory">, limit: { timeoutMs: number; signal?: AbortSignal }): Promise<Lease<GuestAgent>> =>
    agents.lease(plan.directory, () => GuestAgent.connect(plan.directory, socketNames.agent, limit));

  const observe: VmDriver["observe"] = async (plan) => {
    const layout = qemuLayout(plan.directory);
    for (;;) {
      const process = findQemuProcess(layout);
      if (process !== undefined) {
        const { pid, startedAt } = process;
        const started = readStarted(layout);
        const { accel, sshPort } = started;
        const user = seenUser(pid, started);
        const state = await stateOf(plan);
        // Its number is known before it answers: one that has just begun may be held still, and nobody else would let it run.
        if (state.run === "unresponsive" && Date.now() - Date.parse(startedAt) < beginningMs) {
          await delay(20);
          continue;
        }
        const more = { ...(sshPort === undefined ? {} : { sshPort }), ...(user === undefined ? {} : { user }) };
        return { kind: "running", pid, startedAt, accel, ...state, ...more };
      }
      if (!existsSync(layout.started)) return { kind: "absent" };
      const exit = await qemuExitOf(layout);
      if (exit !== undefined) return { kind: "exited", exit };
    }
  };

  return {
    async prepare(plan, progress) {
      const { imageTool } = await qemu();
      const layout = qemuLayout(plan.directory);
      mkdirSync(layout.directory, { recursive: true, mode: 0o700 });
      // What lies below a disk that was written to stays, wherever its name leads by now.
      const image = existsSync(layout.disk) ? preparedImage(layout, plan) : await options.images.resolve(plan.spec.image, progress);
      options.images.hold(image, plan.id);
      writeWhole(layout.image, JSON.stringify(image));
      await chooseShareType(plan, { layout, image }, virtiofsd);
      await prepareDisks(imageTool, plan, { layout, image });
      if (plan.spec.uefi) prepareFirmware(layout);
    },

    async start(plan) {
      const before = await observe(plan);
      if (before.kind === "running") return before;
      const program = await qemu();
      const layout = qemuLayout(plan.directory);
      const image = preparedImage(layout, plan);
      const disks = await disksOf(program.imageTool, plan, { layout, image });
      const accel = await chooseAcceleration(accelPlace(program), plan.spec.accel);
      const timeStamp = plan.spec.machine === "microvm" && accel.kind === "tcg" ? await timeStampKhz() : undefined;
      const user = qemuUser(layout, plan);
      const groups = accel.kind === "kvm" ? groupsFor(options.kvmDevice ?? kvmDevice) : [];
      const command = [...wordsFor(user, { groups: groups ?? [], lowPorts: takesLowPorts(plan) }), program.path];
      const firmware = plan.spec.uefi ? { firmware: prepareFirmware(layout) } : {};
      writeWhole(layout.environment, environmentText(plan.spec.env));
      const shareType = readShareType(layout);
      const carrying = shareType === "virtiofs" && plan.spec.shares.length > 0 ? await virtiofsd() : undefined;
      const script = image.disk === undefined ? plan.setup?.script(shareType) : undefined;
      if (script !== undefined) writeWhole(layout.setup, script);
      const taken = new Set<number>();
      for (;;) {
        const sshPort = chooseSshPort(plan, taken);
        const port = sshPort === undefined ? {} : { sshPort };
        using shares = openShares(plan, layout, carrying);
        const inherited = new Inherited(inheritedFds(plan));
        const shareFds = shares.fds.map((number) => inherited.number({ kind: "descriptor", number }));
        const words = qemuArguments({
          plan,
          layout,
          image,
          accel,
          sandbox: program.sandbox,
          disks,
          hasScript: script !== undefined,
          inherited,
          ...firmware,
          ...(timeStamp === undefined ? {} : { timeStampKhz: timeStamp }),
          ...port,
          ...(carrying === undefined ? {} : { shareFds }),
        });
        writeStarted(layout, { accel, ...port, taps: inheritedQueues(plan), user });
        try {
          await launchQemu(layout, [...command, ...words], {
            inherited,
            user,
            beside: shares.serve,
            log: options.log ?? { ...defaultLogLimits, lookSeconds: 10 },
            deadlineMs: options.startDeadlineMs ?? 30_000,
          });
          break;
        } catch (error) {
          rmSync(layout.started, { force: true });
          // Somebody took the port between our look and QEMU's bind: unless it was asked for, there are others.
          const lost = error instanceof NexusError && error.code === "port-taken" ? error.details?.["port"] : undefined;
          if (lost === undefined || lost !== sshPort || plan.spec.sshPort !== undefined || taken.size > 20) throw error;
          taken.add(sshPort);
        }
      }
      const status = await observe(plan);
      if (status.kind === "absent") throw new NexusError("internal", `virtual machine ${plan.name} was started and is not there`);
      return status;
    },

    observe,

    async waitExit(plan, signal) {
      for (;;) {
        signal.throwIfAborted();
        const layout = qemuLayout(plan.directory);
        using process = openQemuProcess(layout);
        if (process !== undefined) await process.exited({ signal });
        const status = await observe(plan);
        if (status.kind === "exited") return status.exit;
        if (status.kind === "absent") throw new NexusError("wrong-state", `guest ${plan.name} was never started`);
      }
    },

    async stop(plan, graceMs) {
      const layout = qemuLayout(plan.directory);
      using process = openQemuProcess(layout);
      if (process === undefined) return "not-running";
      if (graceMs > 0) {
        await askToPowerOff(plan, Math.min(graceMs, 2000));
        if (await endedWithin(() => waitForExit(process, { timeoutMs: graceMs }))) {
          await qemuExitOf(layout);
          return "graceful";
        }
      }
      writeFileSync(layout.killed, "");
      // Told to quit, QEMU flushes its disks first; killed, it does not.
      if (await attempt(() => quit(plan))) await endedWithin(() => waitForExit(process, { timeoutMs: 2000 }));
      await endQemu(layout);
      await qemuExitOf(layout);
      return "forced";
    },

    async remove(guest) {
      if (existsSync(guest.directory)) await endQemu(qemuLayout(guest.directory));
      await removeTree(guest.directory);
      options.images.release(guest.id);
    },

    async exec(plan, request) {
      const lease = await agent(plan, { timeoutMs: agentPatienceMs });
      return execByAgent(lease.value, request, () => lease[Symbol.dispose]());
    },

    files: (plan) => agentFiles(plan.name, () => agent(plan, { timeoutMs: 10_000 })),

    async agent(plan, limit) {
      return agent(plan, limit);
    },

    logs(plan, request) {
      const layout = qemuLayout(plan.directory);
      return readLog(layout.log, { ...request, ended: () => findQemuProcess(layout) === undefined });
    },

    list: () =>
      Promise.resolve(
        options.guestsDirectory === undefined || !existsSync(options.guestsDirectory)
          ? []
          : readdirSync(options.guestsDirectory)
              .filter((id) => existsSync(qemuLayout(join(options.guestsDirectory ?? "", id)).image))
              .toSorted(),
      ),

    async console(plan) {
      using lease = await monitor(plan);
      return await openConsole(lease.value, plan.directory);
    },

    async devices(plan) {
      using lease = await monitor(plan);
      return await pluggedDevices(lease.value);
    },

    async addNic(plan, nic) {
      using lease = await monitor(plan);
      await plugNic(lease.value, plan, nic);
      const layout = qemuLayout(plan.directory);
      const started = readStarted(layout);
      const { name } = nic.tap;
      writeStarted(layout, { ...started, taps: { ...started.taps, [name]: tapQueuesIn(findQemuProcess(layout)?.pid, name) } });
    },

    async removeNic(plan, number) {
      using lease = await monitor(plan);
      await unplugNic(lease.value, number);
    },

    async addDisk(plan, disk) {
      const { imageTool } = await qemu();
      await prepareDisk(imageTool, disk);
      await examineWhole(imageTool, disk.source, disk.format);
      using lease = await monitor(plan);
      await plugDisk(lease.value, plan, { name: disk.name, path: disk.source, format: disk.format, readOnly: disk.readOnly });
    },

    async removeDisk(plan, name) {
      using lease = await monitor(plan);
      await unplugDisk(lease.value, name);
    },

    tapQueues: (plan) => new Map(Object.entries(readStarted(qemuLayout(plan.directory)).taps)),

    async setBalloon(plan, bytes) {
      using lease = await monitor(plan);
      return await inflate(lease.value, bytes);
    },

    async probe() {
      const program = await qemu();
      return { program, accel: await chooseAcceleration(accelPlace(program), "auto"), virtiofsd: await virtiofsd() };
    },
  };

  /** What QEMU says; one that hangs is "unresponsive", for the process is all that is sure. */
  async function stateOf(plan: VmPlan): Promise<{ run: string; agent: boolean }> {
    try {
      using lease = await monitor(plan, 3000);
      const run = await letRun(lease.value, { timeoutMs: 3000 });
      const ports = listOf(await lease.value.execute("query-chardev", {}, { timeoutMs: 3000 }));
      return { run, agent: ports.some((port) => port["label"] === "agent" && port["frontend-open"] === true) };
    } catch (error) {
      if (error instanceof NexusError && (error.code === "timeout" || error.code === "wrong-state"))
        return { run: "unresponsive", agent: false };
      throw error;
    }
  }

  /** The button first, and the agent too when it is there: many a minimal guest listens to one of them only. */
  async function askToPowerOff(plan: VmPlan, timeoutMs: number): Promise<void> {
    await attempt(async () => {
      using lease = await monitor(plan, timeoutMs);
      await lease.value.execute("system_powerdown", {}, { timeoutMs });
    });
    await attempt(async () => {
      if (!(await stateOf(plan)).agent) return;
      using lease = await agent(plan, { timeoutMs });
      lease.value.shutdown();
      await lease.value.settled();
    });
  }

  async function quit(plan: VmPlan): Promise<void> {
    using lease = await monitor(plan, 2000);
    await lease.value.execute("quit", {}, { timeoutMs: 2000 });
  }
}

/** What QEMU may take on a busy host until it says something. */
const beginningMs = 10_000;

/** A guest that was just started may still be booting, and slowly where it is emulated. */
const agentPatienceMs = 30_000;

function preparedImage(layout: QemuLayout, plan: VmPlan): VmImage {
  try {
    return JSON.parse(readFileSync(layout.image, "utf8")) as VmImage;
  } catch (error) {
    throw new NexusError("wrong-state", `guest ${plan.name} was not prepared`, { cause: error });
  }
}

/** True when it was done; whatever went wrong instead, the caller has a harder way. */
async function attempt(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch {
    return false;
  }
}

async function endedWithin(wait: () => Promise<void>): Promise<boolean> {
  try {
    await wait();
    return true;
  } catch (error) {
    if (error instanceof NexusError && error.code === "timeout") return false;
    throw error;
  }
}
