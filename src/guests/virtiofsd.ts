import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { NexusError } from "../base/errors.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { attachTree, holdDirectory, inPrivateMounts, wholeTree } from "../kernel/mount-trees.ts";
import { mount } from "../kernel/mounts.ts";
import { adoptProcess, endProcess, readProcessStat } from "../kernel/processes.ts";
import { openWaitingConnection } from "../kernel/unix-socket.ts";

/** The program that carries a directory to a guest: QEMU's own until 7.2 ("qemu"), or its successor ("rust"), whose words are others. */
export type Virtiofsd = { kind: "usable"; path: string; words: "qemu" | "rust" } | { kind: "unusable"; why: string; hint: string };

/** One directory to carry. It is mounted at `place`, for virtiofsd alone to see; that is also how virtiofsd is known again. */
export type Carried = { source: string; place: string; readOnly: boolean };

/** The newer before the older. */
const paths = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** Looks for virtiofsd and has it carry an empty directory below `directory`, to nobody. */
export async function findVirtiofsd(directory: string, path = paths.find((one) => existsSync(one))): Promise<Virtiofsd> {
  // Giving files to their owners, and mounting for it alone, are root's.
  if (process.getuid?.() !== 0)
    return { kind: "unusable", why: "virtiofsd needs root, which a user's own daemon is not", hint: "have root's daemon run the machine" };
  if (path === undefined)
    return { kind: "unusable", why: "virtiofsd is not installed", hint: "apt install virtiofsd, on Debian 12 qemu-system-common" };
  const trial = mkdtempSync(join(directory, "virtiofsd-"));
  try {
    const { stdout, stderr } = await promisify(execFile)(path, ["--help"], { timeout: 10_000, env: {} });
    const words = /--shared-dir/.test(stdout + stderr) ? "rust" : "qemu";
    await tryOut({ path, words }, trial);
    return { kind: "usable", path, words };
  } catch (error) {
    const why = `${path} does not work here: ${error instanceof Error ? error.message : String(error)}`;
    return { kind: "unusable", why, hint: "`nexus doctor` tells what this host lacks" };
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

/** How virtiofsd is called. It confines itself: namespaces with nothing but the directory, few rights, a filter of system calls that kills. */
export function virtiofsdWords(words: "qemu" | "rust", place: string): string[] {
  // Without these two rights no guest leaves device nodes or programs with capabilities on the host.
  const rights = "modcaps=-mknod:-setfcap";
  switch (words) {
    case "qemu":
      return [`--fd=${socketFd}`, "-f", "-o", `source=${escapeOption(place)}`]
        .concat("-o", "sandbox=namespace", "-o", rights)
        .concat("-o", "no_xattr", "-o", "cache=auto", "-o", "log_level=err");
    case "rust":
      return [`--fd=${socketFd}`, `--shared-dir=${place}`, "--sandbox=namespace", "--seccomp=kill", `--${rights}`].concat(
        "--cache=auto",
        "--log-level=error",
      );
  }
}

/**
 * Starts virtiofsd, in a session of its own. It accepts the one connection that waits at `listener` and ends with it; what it has to say goes
 * to `said`. Read-only is what the kernel makes of the mount, whatever virtiofsd may be led to. @throws KernelError
 */
export function carry(program: { path: string; words: "qemu" | "rust" }, carried: Carried, to: { listener: Fd; said: number | "pipe" }) {
  const { source, place, readOnly } = carried;
  mkdirSync(place, { recursive: true, mode: 0o700 });
  using directory = holdDirectory(realpathSync(source));
  using tree = wholeTree(directory, { readOnly });
  return inPrivateMounts(() => {
    attachTree(tree, place);
    // What is mounted on the host below it from now on would come along, and writable.
    mount({ source: "none", target: place, flags: ["recursive", "private"] });
    const child = spawn(program.path, virtiofsdWords(program.words, place), {
      detached: true,
      stdio: ["ignore", "ignore", to.said, to.listener.number],
      cwd: "/",
      env: {},
    });
    // One that could not be started closes its socket as one that ended does: QEMU tells.
    child.on("error", () => undefined);
    return child;
  });
}

/** Ends those that carry to places below a directory, should they have outlived their connection. */
export async function endVirtiofsds(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  const words = [`source=${escapeOption(directory)}/`, `--shared-dir=${directory}/`];
  for (const pid of readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const stat = isCarrying(pid, words) ? readProcessStat(pid) : undefined;
    using process = stat === undefined ? undefined : adoptProcess(pid, stat.startTicks);
    if (process !== undefined && isCarrying(pid, words)) await endProcess(process, { graceMs: 2000, signal: sigkill });
  }
}

const socketFd = 3;
const sigkill = 9;

/** Who connected is gone already: it makes itself its sandbox, finds that out and ends well. */
async function tryOut(program: { path: string; words: "qemu" | "rust" }, directory: string): Promise<void> {
  const source = join(directory, "empty");
  mkdirSync(source);
  const connection = openWaitingConnection(directory);
  using listener = connection.listener;
  connection.client[Symbol.dispose]();
  const child = carry(program, { source, place: join(directory, "place"), readOnly: true }, { listener, said: "pipe" });
  let said = "";
  child.stderr?.on("data", (piece: Buffer) => (said = (said + piece.toString()).slice(-2000)));
  try {
    const [code] = (await once(child, "close", { signal: AbortSignal.timeout(5000) })) as [number | null];
    if (code !== 0) throw new NexusError("runtime-failed", said.trim().split("\n").at(-1) || `it ended with ${code ?? "a signal"}`);
  } finally {
    child.kill("SIGKILL");
  }
}

function isCarrying(pid: number, words: readonly string[]): boolean {
  try {
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return line.some((word) => words.some((start) => word.startsWith(start)));
  } catch {
    return false;
  }
}

/** Options are split at commas; a backslash keeps one. */
function escapeOption(path: string): string {
  return path.replaceAll(/[\\,]/g, "\\$&");
}
