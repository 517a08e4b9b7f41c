import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pidfd } from "../../src/kernel/processes.ts";
import { Rooted } from "../../src/kernel/rooted.ts";

/**
 * A process with a root and mounts of its own, and a secret beside the root that must never be had through it. It has the host's
 * process ids, so that /proc/1/root and /proc/self/root in it do lead to the host.
 */
export class RootedBed implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nexus-rooted-"));
  /** The root as the host sees it. */
  readonly root = join(this.directory, "root");
  readonly secret = join(this.directory, "secret");
  #child: ReturnType<typeof spawn> | undefined;
  #answers: AsyncIterator<string> | undefined;

  static async make(): Promise<RootedBed> {
    const bed = new RootedBed();
    for (const part of ["bin", "proc", "sys", "etc", "mounted", "volume"]) mkdirSync(join(bed.root, part), { recursive: true });
    writeFileSync(bed.secret, "the host's\n");
    writeFileSync(join(bed.root, "etc/hosts"), "below the mount\n");
    mkdirSync(join(bed.directory, "volume"));
    writeFileSync(join(bed.directory, "hosts"), "mounted\n");
    copyFileSync("/bin/busybox", join(bed.root, "bin/busybox"));
    const script = `
      mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/mounted" && mount --bind "$1/../hosts" "$1/etc/hosts" &&
      mount --bind "$1/../volume" "$1/volume" && exec chroot "$1" /bin/busybox sh`;
    const words = ["-m", "--propagation", "private", "sh", "-c", script, "sh", bed.root];
    const child = (bed.#child = spawn("unshare", words, { stdio: ["pipe", "pipe", "inherit"] }));
    bed.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await bed.run("/bin/busybox --install -s /bin");
    return bed;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Runs a line of shell inside and waits for its end. */
  async run(line: string): Promise<void> {
    this.#child?.stdin?.write(`${line}\necho "done $?"\n`);
    for (;;) {
      const said = await this.#answers?.next();
      if (said?.value === "done 0") return;
      if (said === undefined || said.done === true || said.value.startsWith("done "))
        throw new Error(`${line}: ${said?.value ?? "it ended"}`);
    }
  }

  open(): Rooted {
    using process = Pidfd.open(this.pid);
    if (process === undefined) throw new Error("it has ended");
    return Rooted.open(process, "web");
  }

  async end(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "close");
    child.kill("SIGKILL");
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
