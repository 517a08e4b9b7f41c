import { spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { Acceleration } from "./qemu-plan.ts";
import { groupsFor, type QemuUser, wordsFor } from "./qemu-user.ts";

/** Where answers are kept: they hold as long as the host is up. */
export type AccelPlace = { directory: string; program: string; device?: string; user: QemuUser };

/** The device through which QEMU uses this processor. */
export const kvmDevice = "/dev/kvm";

/**
 * KVM when a trial guest ran with it, else emulation; and why. /dev/kvm can be there, open, and still hang every guest, so only
 * a guest that came through long mode counts. @throws NexusError `unsupported` when `kvm` was asked for and does not work
 */
export async function chooseAcceleration(place: AccelPlace, wish: "auto" | "kvm" | "tcg"): Promise<Acceleration> {
  if (wish === "tcg") return { kind: "tcg", why: "emulation was asked for" };
  const found = remembered(place) ?? remember(place, await tryKvm(place));
  if (wish === "kvm" && found.kind !== "kvm") throw new NexusError("unsupported", `KVM does not work on this host: ${found.why}`);
  return found;
}

async function tryKvm(place: AccelPlace): Promise<Acceleration> {
  const device = place.device ?? kvmDevice;
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { kind: "tcg", why: absent ? `there is no ${device}` : `${device} may not be opened` };
  }
  const groups = place.user.kind === "own" ? groupsFor(device) : [];
  if (groups === undefined)
    return { kind: "tcg", why: `${device} is root's alone, and QEMU does not run as root; to give it a group: ${remedy(device)}` };
  mkdirSync(place.directory, { recursive: true, mode: 0o700 });
  const trial = mkdtempSync(join(place.directory, "accel-"));
  try {
    const rom = join(trial, "rom");
    // Whoever has it open may read it, and nobody else gets here.
    writeFileSync(rom, trialRom(), { mode: 0o644 });
    return await bootTrial(place.program, rom, { as: wordsFor(place.user, { groups }) });
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

/** @internal The words for what came of it are the interface's; exported for the test that boots it under emulation. */
export function bootTrial(
  program: string,
  rom: string,
  { accel = "kvm", as = [] }: { accel?: "kvm" | "tcg"; as?: readonly string[] } = {},
): Promise<Acceleration> {
  const words = ["-accel", accel, "-cpu", accel === "kvm" ? "host" : "max", "-machine", "q35", "-m", "16", "-bios", "/proc/self/fd/3"];
  const rest = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"];
  return new Promise((resolve) => {
    const [first = program, ...more] = [...as, program, ...words, ...rest];
    const fd = openSync(rom, "r");
    const child = spawn(first, more, { stdio: ["ignore", "ignore", "pipe", fd], env: {} });
    closeSync(fd);
    let said = "";
    child.stderr?.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(0, 2000)));
    const timer = setTimeout(() => child.kill("SIGKILL"), trialMs);
    const finish = (result: Acceleration): void => {
      clearTimeout(timer);
      resolve(result);
    };
    child.on("error", (error) => finish({ kind: "tcg", why: error.message }));
    child.on("close", (code, signal) => {
      if (code === exitStatus) return finish({ kind: "kvm", why: "a trial guest ran" });
      const how = code === null && signal === "SIGKILL" ? `hung for ${trialMs / 1000} seconds` : `ended with ${signal ?? `status ${code}`}`;
      finish({ kind: "tcg", why: `a trial guest ${how}${said === "" ? "" : `: ${said.trim().split("\n").at(-1) ?? ""}`}` });
    });
  });
}

/**
 * Firmware of 64 KiB whose last bytes hold a program: from the reset vector through protected to long mode with paging on,
 * a hundred thousand additions and stack accesses, one CPUID, and then the number 42 to the port that ends QEMU.
 */
export function trialRom(): Uint8Array {
  const rom = new Uint8Array(0x10000);
  rom.set(Buffer.from(trialProgram, "hex"), 0xff00);
  // jmp 0xff00, at the address where every x86 processor begins
  rom.set([0xe9, 0x0d, 0xff], 0xfff0);
  return rom;
}

function remedy(device: string): string {
  return `chgrp kvm ${device} && chmod 0660 ${device}`;
}

const trialMs = 2000;
/** isa-debug-exit ends QEMU with twice the number written, and one (hw/misc/debugexit.c). */
const exitStatus = 42 * 2 + 1;

const trialProgram = [
  "fafc31c08ec08ed0bf001089fc6631c066b90010000066f3ab26c7060010032026c7060020033026c7061820034026c6060030832666c706f84f8300",
  "e0ff2e660f0116a8ff0f20e00c200f22e066b8001000000f22d866b9800000c00f3280cc010f300f20c0660d010000800f22c066ea77ffffff080031",
  "c9b9a08601004801c8505be2f90fa2b82a000000baf4000000eff4ebfd8d7400000000000000000000000000009a20000f0098ffffff",
].join("");

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** `as`: the answer is one for who asked, by the groups there were to let it in. */
type Kept = { boot: string; program: string; as: string; found: Acceleration };

function asWhom({ user, device = kvmDevice }: AccelPlace): string {
  if (user.kind === "daemon" || !existsSync(device)) return user.kind;
  return `${user.kind}, groups ${groupsFor(device)?.join() ?? "none"}`;
}

function remembered(place: AccelPlace): Acceleration | undefined {
  try {
    const kept = JSON.parse(readFileSync(join(place.directory, "accel.json"), "utf8")) as Kept;
    return kept.boot === bootId() && kept.program === place.program && kept.as === asWhom(place) ? kept.found : undefined;
  } catch {
    return undefined;
  }
}

function remember(place: AccelPlace, found: Acceleration): Acceleration {
  mkdirSync(place.directory, { recursive: true, mode: 0o700 });
  const file = join(place.directory, "accel.json");
  writeFileSync(`${file}.new`, JSON.stringify({ boot: bootId(), program: place.program, as: asWhom(place), found } satisfies Kept));
  renameSync(`${file}.new`, file);
  return found;
}
