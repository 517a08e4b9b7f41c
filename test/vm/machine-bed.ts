import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VmSpecInput } from "../../src/spec/vm.ts";
import type { GuestView } from "../../src/spec/views.ts";
import * as host from "../chaos/host.ts";
import { Nexusd } from "../chaos/nexusd.ts";
import { runNexus, type Said } from "../e2e/recovery-bed.ts";
import { until } from "../kernel/world/until.ts";

/** A daemon whose mini image is built already, and what its virtual machines leave on the host. */
export class MachineBed implements AsyncDisposable {
  readonly daemon: Nexusd;
  readonly #linksBefore: readonly string[];

  static async make(): Promise<MachineBed> {
    await host.sh("ip", "link", "set", "lo", "up");
    const links = (await host.linksOf()).map((link) => link.ifname);
    const daemon = new Nexusd();
    try {
      await daemon.start();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return new MachineBed(daemon, links);
  }

  private constructor(daemon: Nexusd, linksBefore: readonly string[]) {
    this.daemon = daemon;
    this.#linksBefore = linksBefore;
  }

  get client(): Nexusd["client"] {
    return this.daemon.client;
  }

  /** `nexus ARGS`, as typed. */
  nexus(...args: string[]): Promise<Said> {
    return runNexus(args, { NEXUS_SOCKET: this.daemon.places.socket });
  }

  /** The same, which must go through; gives what it printed. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.nexus(...args);
    assert.equal(code, 0, `nexus ${args.join(" ")}: ${err}${out}`);
    return out;
  }

  create(spec: VmSpecInput, query: { start?: boolean } = {}): Promise<GuestView> {
    return this.client.call("vm.create", { body: { mem: 128, ...spec }, query });
  }

  vm(name: string): Promise<GuestView> {
    return this.client.call("vm.get", { params: { name } });
  }

  async vmIs(name: string, what: string, wanted: (vm: GuestView) => boolean, deadlineMs?: number): Promise<GuestView> {
    let last: GuestView | undefined;
    await until(`${name} ${what}`, async () => wanted((last = await this.vm(name))), deadlineMs).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}\n${this.daemon.log().split("\n").slice(-20).join("\n")}`);
    });
    return last as GuestView;
  }

  /** Runs a shell line in a virtual machine, once its agent answers. */
  async shell(name: string, line: string): Promise<Said> {
    let said: Said | undefined;
    await until(
      `the agent of ${name} answers`,
      async () => {
        said = await this.nexus("vm", "exec", name, "--", "sh", "-c", line);
        return !/does not answer|timeout|within \d+ ms/.test(said.err);
      },
      60_000,
    );
    return said as Said;
  }

  async ready(...names: string[]): Promise<void> {
    await Promise.all(names.map((name) => this.shell(name, "true")));
  }

  async links(): Promise<string[]> {
    return (await host.linksOf()).map((link) => link.ifname);
  }

  /** Processes, taps, directories and rows: those of the virtual machines there are, and of nothing else. */
  async allIsWell(): Promise<void> {
    let faults: string[] = [];
    await until("nothing is left over or missing", async () => (faults = await this.#faults()).length === 0, 15_000).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${faults.join("\n")}\n${this.daemon.log().split("\n").slice(-30).join("\n")}`);
      },
    );
  }

  async #faults(): Promise<string[]> {
    const [networks, guests] = await Promise.all([this.client.call("network.list"), this.client.call("guest.list")]);
    const running = guests.filter((guest) => guest.state === "running");
    const directory = join(this.daemon.places.stateDir, "guests");
    const ids = existsSync(directory) ? readdirSync(directory) : [];
    const wantedLinks = [
      ...this.#linksBefore,
      ...networks.map((network) => network.bridge),
      ...running.flatMap((guest) => guest.attachments.map((a) => a.hostInterface)),
    ];
    const qemus = qemusIn(directory);
    return [
      ...differences("links", await this.links(), wantedLinks),
      ...differences(
        "directories",
        ids.map((id) => id.slice(0, -9)),
        guests.filter((guest) => guest.kind !== "netns").map((guest) => guest.name),
      ),
      ...differences(
        "processes",
        qemus.map((pid) => `QEMU ${pid}`),
        running.filter((guest) => guest.kind === "vm").map((guest) => `QEMU ${guest.pid}`),
      ),
      ...differences(
        "machines with a virtiofsd",
        carriedIn(directory).filter((name) => !running.some((guest) => guest.name === name)),
        [],
      ),
      ...running
        .filter((guest) => guest.kind === "vm" && guest.pid !== undefined)
        .flatMap((guest) =>
          differences(
            `taps that ${guest.name} has open`,
            tapsOf(guest.pid ?? 0),
            guest.attachments.map((a) => a.hostInterface),
          ),
        ),
      ...networks.flatMap((network) =>
        differences(
          `leases of ${network.name}`,
          network.leases.map((lease) => `${lease.guest} ${lease.address}`),
          guests.flatMap((guest) =>
            guest.attachments
              .filter((a) => a.network === network.name)
              .flatMap((a) => a.addresses.map((cidr) => `${guest.name} ${cidr.split("/")[0]}`)),
          ),
        ),
      ),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** Numbers of the QEMUs whose log is below a directory; the shells above them not among them. */
export function qemusIn(directory: string): number[] {
  return [...host.processesWith(directory).keys()].filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.includes("-add-fd") && !words.includes("nexus-vm");
    } catch {
      return false;
    }
  });
}

/** Names of the machines that a virtiofsd carries directories to. */
function carriedIn(directory: string): string[] {
  const lines = [...host.processesWith(`${directory}/`).values()].filter((line) => line.includes("virtiofsd"));
  return lines
    .map((line) => line.slice(line.indexOf(`${directory}/`) + directory.length + 1).split("/")[0] ?? "")
    .map((id) => id.slice(0, -9));
}

/** Names of the taps whose queues a process has open, those of a stand-in for its guest left out; one that was deleted has no name (drivers/net/tun.c tun_chr_show_fdinfo). */
function tapsOf(pid: number): string[] {
  try {
    const infos = readdirSync(`/proc/${pid}/fdinfo`).map((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"));
    return [...new Set(infos.flatMap((info) => /^iff:\t(?!eth)(.*)$/m.exec(info)?.[1] ?? []))];
  } catch {
    return [];
  }
}

function differences(what: string, found: readonly string[], wanted: readonly string[]): string[] {
  return [
    ...found.filter((one) => !wanted.includes(one)).map((one) => `${what}: ${one} should not be there`),
    ...wanted.filter((one) => !found.includes(one)).map((one) => `${what}: ${one} is missing`),
  ];
}
