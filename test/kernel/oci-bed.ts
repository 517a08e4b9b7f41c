import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Ip } from "../../src/base/ip.ts";
import type { Name } from "../../src/base/names.ts";
import type { GuestPlan } from "../../src/guests/driver.ts";
import { createOciDriver, type OciDriver, type OciOptions } from "../../src/guests/oci.ts";
import type { RuntimeCommand } from "../../src/guests/supervisor.ts";
import { ImageStore } from "../../src/images/store.ts";
import { type CgroupHost, cgroupTrees, findCgroups, listCgroups, removeCgroup } from "../../src/kernel/cgroups.ts";
import { createNamespace, namespacePath, removeNamespace } from "../../src/kernel/namespaces.ts";
import { nodeSpec, type NodeSpecInput } from "../../src/spec/node.ts";

/** A driver with a directory, a cgroup and a network namespace of its own, and guests to try it on. */
export class OciBed implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nexus-oci-"));
  readonly cgroups: CgroupHost = findCgroups();
  readonly parent = `/nexus-test-${process.pid}`;
  readonly netns = `nexus-oci-${process.pid}`;
  readonly images: ImageStore;
  readonly driver: OciDriver;
  readonly #plans: GuestPlan[] = [];

  readonly #runtimes: readonly RuntimeCommand[] | undefined;

  constructor(runtimes?: readonly RuntimeCommand[]) {
    this.#runtimes = runtimes;
    createNamespace(this.netns);
    this.images = new ImageStore({ directory: join(this.directory, "images") });
    this.driver = this.anotherDriver();
  }

  /** As after a restart of the daemon: nothing is remembered but what is on disk. */
  anotherDriver(options: Pick<OciOptions, "log"> = {}): OciDriver {
    return createOciDriver({
      ...options,
      directory: join(this.directory, "oci"),
      images: this.images,
      cgroupParent: this.parent,
      guestsDirectory: join(this.directory, "guests"),
      ...(this.#runtimes === undefined ? {} : { runtimes: this.#runtimes }),
    });
  }

  plan(name: string, spec: Omit<NodeSpecInput, "name"> = {}): GuestPlan {
    const plan: GuestPlan = {
      id: name,
      name: name as Name,
      spec: nodeSpec.parse({ name, ...spec }),
      netns: namespacePath(this.netns),
      directory: join(this.directory, "guests", name),
      hostname: name,
      nameservers: ["10.0.0.1" as Ip],
      searchDomains: ["nexus"],
      volumes: [],
      hosts: [{ address: "10.0.0.2" as Ip, names: [name] }],
    };
    this.#plans.push(plan);
    return plan;
  }

  /** Prepared and started. */
  async run(name: string, command: string[], spec: Omit<NodeSpecInput, "name" | "command"> = {}): Promise<GuestPlan> {
    const plan = this.plan(name, { ...spec, command });
    await this.driver.prepare(plan, () => undefined);
    await this.driver.start(plan);
    return plan;
  }

  async exit(plan: GuestPlan) {
    return this.driver.waitExit(plan, AbortSignal.timeout(10_000));
  }

  log(plan: GuestPlan): string {
    const path = join(plan.directory, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** What a run must not leave: mounts, cgroups, descriptors, directories. */
  traces(): { mounts: number; cgroups: string[]; descriptors: number } {
    return {
      mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
      cgroups: listCgroups(this.cgroups, this.parent),
      descriptors: readdirSync("/proc/self/fd").length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plan of this.#plans) await this.driver.remove(plan);
    removeCgroup(this.cgroups, this.parent);
    removeNamespace(this.netns);
    rmSync(this.directory, { recursive: true, force: true });
  }

  trees(): string[] {
    return cgroupTrees(this.cgroups);
  }
}

/** Waits for a condition; a test that waits for nothing in particular would pass too late or too early. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const piece of stream) all += piece.toString();
  return all;
}
