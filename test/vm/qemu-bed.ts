import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mac } from "../../src/base/mac.ts";
import type { Name } from "../../src/base/names.ts";
import type { VmImage, VmImageSource } from "../../src/guests/qemu-image.ts";
import type { VmNic, VmPlan } from "../../src/guests/qemu-plan.ts";
import { createQemuDriver, type QemuDriver, type QemuOptions } from "../../src/guests/qemu.ts";
import { buildMiniVm } from "../../src/images/vm-mini.ts";
import { testMini } from "../../scripts/test-mini.ts";
import { vmSpec, type VmSpecInput } from "../../src/spec/vm.ts";

/** A driver with directories of its own, and virtual machines to try it on. */
export class QemuBed implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nexus-qemu-"));
  readonly holds = new Set<string>();
  readonly driver: QemuDriver;
  readonly #plans: VmPlan[] = [];

  constructor(options: Partial<QemuOptions> = {}) {
    // Fresh namespaces have it down; user mode forwards from it.
    execFileSync("ip", ["link", "set", "lo", "up"]);
    this.driver = this.anotherDriver(options);
  }

  /** As after a restart of the daemon: nothing is remembered but what is on disk. */
  anotherDriver(options: Partial<QemuOptions> = {}): QemuDriver {
    return createQemuDriver(this.options(options));
  }

  options(more: Partial<QemuOptions> = {}): QemuOptions {
    return { directory: join(this.directory, "qemu"), images: this.#images(), guestsDirectory: join(this.directory, "guests"), ...more };
  }

  plan(name: string, spec: Omit<VmSpecInput, "name"> = {}, nics: readonly VmNic[] = []): VmPlan {
    const plan: VmPlan = {
      id: name,
      name: name as Name,
      spec: vmSpec.parse({ name, mem: 128, ...spec }),
      directory: join(this.directory, "guests", name),
      nics,
      userMac: "02:00:5e:10:00:01" as Mac,
      hostname: name,
      nameservers: [],
      searchDomains: [],
    };
    this.#plans.push(plan);
    return plan;
  }

  /** Prepared, started, its agent answering. */
  async boot(plan: VmPlan): Promise<void> {
    await this.driver.prepare(plan, () => undefined);
    await this.driver.start(plan);
    await this.ready(plan);
  }

  async ready(plan: VmPlan, driver = this.driver): Promise<void> {
    using agent = await driver.agent(plan, { timeoutMs: 60_000 });
    await agent.value.ping();
  }

  /** Runs a shell line in the guest; output and status. */
  async shell(plan: VmPlan, line: string, input = ""): Promise<{ out: string; err: string; code: number }> {
    const session = await this.driver.exec(plan, { command: ["sh", "-c", line], env: {} });
    session.stdin.end(input);
    const [out, err, code] = await Promise.all([textOf(session.stdout), textOf(session.stderr), session.exitCode]);
    return { out, err, code };
  }

  descriptors(): number {
    return readdirSync("/proc/self/fd").length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plan of this.#plans) await this.driver.remove(plan);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #images(): VmImageSource {
    return {
      async resolve(reference, progress): Promise<VmImage> {
        if (reference === "mini") return buildMiniVm({ directory: testMini, progress });
        return { reference, key: reference, disk: { path: reference, format: "qcow2" } };
      },
      hold: (_, id) => void this.holds.add(id),
      release: (id) => void this.holds.delete(id),
    };
  }
}

async function textOf(stream: NodeJS.ReadableStream | undefined): Promise<string> {
  let all = "";
  for await (const piece of stream ?? []) all += piece.toString();
  return all;
}
