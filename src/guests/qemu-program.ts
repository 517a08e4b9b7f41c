import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { NexusError } from "../base/errors.ts";

/** An installed QEMU. */
export type QemuProgram = { path: string; imageTool: string; version: { major: number; minor: number }; sandbox: QemuSandbox };

/** The filter QEMU puts on its own system calls; one that was built without it, or a kernel without seccomp, says why there is none. */
export type QemuSandbox = { kind: "on"; words: readonly string[] } | { kind: "off"; why: string };

/** A machine's emulation starts no program, becomes nobody else, and leaves its threads where the kernel put them (system/qemu-seccomp.c). */
const sandboxWords = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];

/** Oldest we have run; it is also the first with `-action panic=exit-failure`. */
const oldest = { major: 7, minor: 2 };

/** @throws NexusError `runtime-missing` when it is not installed, does not run here, or is too old */
export async function findQemu(choice: { path?: string; imageTool?: string } = {}): Promise<QemuProgram> {
  if (process.arch !== "x64")
    throw new NexusError("unsupported", `virtual machines are x86-64 ones so far, and this host is ${process.arch}`);
  const path = choice.path ?? installed("qemu-system-x86_64", "qemu-system-x86");
  const version = versionOf(path, await answer(path));
  if (version.major < oldest.major || (version.major === oldest.major && version.minor < oldest.minor)) {
    throw new NexusError(
      "runtime-missing",
      `${path} is QEMU ${version.major}.${version.minor}; ${oldest.major}.${oldest.minor} or newer is needed`,
    );
  }
  return { path, imageTool: choice.imageTool ?? installed("qemu-img", "qemu-utils"), version, sandbox: await trySandbox(path) };
}

/** A machine without processors, with the filter: it starts and is told to quit. */
async function trySandbox(path: string): Promise<QemuSandbox> {
  const words = ["-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio", ...sandboxWords];
  const trial = promisify(execFile)(path, words, { timeout: 10_000, env: {} });
  trial.child.stdin?.on("error", () => undefined).end('{"execute":"qmp_capabilities"}{"execute":"quit"}\n');
  try {
    await trial;
    return { kind: "on", words: sandboxWords };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return { kind: "off", why: ((stderr ?? "").trim().split("\n").at(-1) || message).slice(0, 300) };
  }
}

function installed(program: string, debianPackage: string): string {
  const found = ["/usr/local/bin", "/usr/bin", "/bin"].map((directory) => `${directory}/${program}`).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new NexusError("runtime-missing", `${program} is not installed`, { hint: `apt install ${debianPackage}` });
}

async function answer(path: string): Promise<string> {
  try {
    return (await promisify(execFile)(path, ["--version"], { timeout: 10_000, env: {} })).stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    const why = code === "ENOENT" ? "is not there" : `does not run: ${(stderr ?? String(error)).trim().slice(0, 500)}`;
    throw new NexusError("runtime-missing", `${path} ${why}`, { hint: "apt install qemu-system-x86", cause: error });
  }
}

function versionOf(path: string, said: string): { major: number; minor: number } {
  const match = /version (\d+)\.(\d+)/.exec(said);
  if (match === null) throw new NexusError("runtime-missing", `${path} does not say its version: ${said.slice(0, 100)}`);
  return { major: Number(match[1]), minor: Number(match[2]) };
}
