import { randomUUID } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Bubblewrap, type BubblewrapOptions, createBubblewrapDriver } from "../../src/guests/bubblewrap.ts";
import type { SandboxExit, SandboxPlan, SandboxProcess } from "../../src/guests/sandbox.ts";
import { type CgroupHost, cgroupProcesses, findCgroups, listCgroups, removeEmptyCgroup } from "../../src/kernel/cgroups.ts";
import { NamespaceStock } from "../../src/kernel/namespace-stock.ts";
import { text, until } from "./oci-bed.ts";

/** What a test says of a run beside its command; limits one by one. */
export type Wish = Partial<Omit<SandboxPlan, "limits">> & { limits?: Partial<SandboxPlan["limits"]>; input?: string };

export type Outcome = { stdout: string; stderr: string; exit: SandboxExit };

/** A driver with a cgroup and a workspace of its own, and short ways to run commands by it. */
export class SandboxBed implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nexus-sandbox-"));
  readonly workspace = join(this.directory, "workspace");
  readonly cgroups: CgroupHost = findCgroups();
  readonly parent = `/nexus-test-${randomUUID()}`;
  readonly driver: Bubblewrap;
  readonly #stock = new NamespaceStock();
  #runs = 0;

  constructor(options: Partial<BubblewrapOptions> = {}) {
    mkdirSync(this.workspace);
    // The way to a workspace may be shut for everybody but root.
    chmodSync(this.directory, 0o700);
    this.driver = createBubblewrapDriver({ namespaces: this.#stock, cgroupParent: this.parent, ...options });
  }

  plan(command: [string, ...string[]], wish: Wish = {}): SandboxPlan {
    const { limits, input: _, ...rest } = wish;
    return {
      id: `run-${this.#runs++}`,
      command,
      env: { PATH: "/usr/bin:/bin", HOME: "/home/sandbox" },
      cwd: "/workspace",
      workspace: { source: this.workspace, target: "/workspace", owner: { uid: 0, gid: 0 } },
      egress: { kind: "none" },
      directory: this.directory,
      ...rest,
      limits: { memoryBytes: 256 << 20, cpus: 1, pids: 100, openFiles: 256, scratchBytes: 16 << 20, ...limits },
    };
  }

  start(command: [string, ...string[]], wish: Wish = {}): Promise<SandboxProcess> {
    return this.driver.start(this.plan(command, wish), AbortSignal.timeout(30_000));
  }

  /** From start to end, with all it said. */
  async run(command: [string, ...string[]], wish: Wish = {}): Promise<Outcome> {
    await using sandbox = await this.start(command, wish);
    sandbox.stdin.end(wish.input);
    const [stdout, stderr, exit] = await Promise.all([
      text(sandbox.stdout),
      sandbox.stderr === undefined ? "" : text(sandbox.stderr),
      sandbox.exit,
    ]);
    return { stdout, stderr, exit };
  }

  sh(script: string, wish: Wish = {}): Promise<Outcome> {
    return this.run(["sh", "-c", script], wish);
  }

  /** What runs must not leave: descriptors, mounts, processes, and cgroups of their own. */
  traces(): { descriptors: number; mounts: number; processes: number[]; cgroups: string[] } {
    return {
      descriptors: readdirSync("/proc/self/fd").length,
      mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
      processes: cgroupProcesses(this.cgroups, this.parent),
      cgroups: listCgroups(this.cgroups, this.parent),
    };
  }

  count(): Record<string, number> {
    const { descriptors, mounts, processes, cgroups } = this.traces();
    return { descriptors, mounts, processes: processes.length, cgroups: cgroups.length };
  }

  /** What there is once what is made ahead has been made: it stayed the same for a second. */
  async settled(): Promise<Record<string, number>> {
    let last = this.count();
    let since = performance.now();
    await until("nothing is made ahead any more", () => {
      const now = this.count();
      if (!isDeepStrictEqual(now, last)) [last, since] = [now, performance.now()];
      return performance.now() - since > 1000;
    });
    return last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver[Symbol.asyncDispose]();
    this.#stock[Symbol.dispose]();
    await until("the last sandbox has ended", () => cgroupProcesses(this.cgroups, this.parent).length === 0);
    for (const name of listCgroups(this.cgroups, this.parent)) removeEmptyCgroup(this.cgroups, `${this.parent}/${name}`);
    removeEmptyCgroup(this.cgroups, this.parent);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
