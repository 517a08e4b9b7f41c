import { execFile } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { NexusError } from "../base/errors.ts";

/**
 * Copies what is on a workspace's disk into an empty directory, by debugfs(8) where nothing else can be written. What a guest made may
 * say that it is larger than its disk, as holes of a file become bytes here: then it is given up, before the host's disk is full.
 * @throws NexusError `runtime-failed`, `runtime-missing`
 */
export async function unpackDisk(bubblewrap: string, { file, staging }: { file: string; staging: string }): Promise<void> {
  const disk = statSync(file).size;
  // A block more for each file, of which there cannot be more than blocks.
  const most = 2 * disk;
  const system = ["/usr", "/lib", "/lib64", "/bin", "/sbin"].flatMap((path) => ["--ro-bind-try", path, path]);
  const places = ["--ro-bind", file, "/image", "--bind", staging, "/staging", "--remount-ro", "/"];
  const held = ["prlimit", `--as=${memoryBytes}`, `--fsize=${disk}`, "--core=0", "--"];
  const words = [
    ..."--unshare-all --die-with-parent --new-session --cap-drop ALL --clearenv --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin".split(" "),
    ...system,
    ...places,
    ...held,
    "debugfs",
    "-R",
    "rdump / /staging",
    "/image",
  ];
  const [tooMuch, over] = [new AbortController(), new AbortController()];
  const watching = watch(staging, { most, over: over.signal }).then((full) => full && tooMuch.abort());
  try {
    await promisify(execFile)(bubblewrap, words, {
      timeout: 600_000,
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
      maxBuffer: 1 << 20,
      signal: tooMuch.signal,
      killSignal: "SIGKILL",
    });
    if ((await usedBytes(staging)) > most) tooMuch.abort();
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT") throw new NexusError("runtime-missing", `${bubblewrap} is not there`, { hint: "apt install bubblewrap" });
    if (code === signalled + fileTooLarge) tooMuch.abort();
    if (!tooMuch.signal.aborted) throw failed(`its disk could not be read: ${(stderr ?? String(error)).trim().slice(0, 500)}`);
  } finally {
    over.abort();
    await watching;
  }
  if (tooMuch.signal.aborted) throw failed(`with the holes of its files it holds more than the ${disk} bytes of its disk`);
  // Every ext4 file system has it; it is no part of what the workspace was.
  rmSync(join(staging, "lost+found"), { recursive: true, force: true });
}

/** True as soon as there is more than that; false when it is over. */
async function watch(directory: string, { most, over }: { most: number; over: AbortSignal }): Promise<boolean> {
  while (!over.aborted) {
    if ((await usedBytes(directory).catch(() => 0)) > most) return true;
    await delay(watchMs, undefined, { signal: over }).catch(() => undefined);
  }
  return false;
}

/** What files take, holes too, and a block for each. */
export async function usedBytes(directory: string): Promise<number> {
  let sum = 0;
  for await (const found of await opendir(directory, { recursive: true })) {
    if (!found.isFile()) sum += 4096;
    else sum += (await lstat(join(found.parentPath, found.name))).size + 4096;
  }
  return sum;
}

export function failed(problem: string): NexusError {
  return new NexusError("runtime-failed", `the workspace could not be taken back from the virtual machine: ${problem}`);
}

const memoryBytes = 1024 ** 3;
const watchMs = 200;
/** How a shell and bubblewrap tell of an end by a signal, and SIGXFSZ. */
const signalled = 128;
const fileTooLarge = 25;
