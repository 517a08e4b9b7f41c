import * as fs from "node:fs";
import { dirname } from "node:path";
import { WireError } from "../base/errors.ts";
import { asKernel, isErrno, kernelRefusal } from "../sys/errno.ts";
import { mountAt, mountFlags, unmountAt, unmountFlags, unmountAtAsync } from "../sys/mount.ts";

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), escapes undone. */
export type Mount = {
  id: number;
  parent: number;
  /** `major:minor` of the file system's device. */
  device: string;
  /** What of the file system is mounted: "/" or a path within it. */
  root: string;
  target: string;
  options: string[];
  /** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`. */
  propagation: string[];
  type: string;
  source: string;
  superOptions: string[];
};

export type MountRequest = {
  source: string;
  target: string;
  /** File system type; absent for bind, remount and propagation changes. */
  type?: string;
  flags?: readonly (keyof typeof mountFlags)[];
  data?: string;
};

/** mount(2). @throws KernelError */
export function mount(request: MountRequest): void {
  const flags = (request.flags ?? []).reduce((sum, name) => sum | mountFlags[name], 0);
  const op = `mount ${request.type ?? (request.flags ?? []).join(",")} on ${request.target}`;
  mountAt({ source: request.source, target: request.target, type: request.type ?? null, flags, data: request.data ?? null, op });
}

/**
 * Takes the topmost mount off a path; a busy one goes when its last user does. False when nothing was mounted there.
 * Symbolic links are not followed. @throws KernelError
 */
export function unmount(target: string): boolean {
  try {
    unmountAt(target, topmost);
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT")) return false;
    throw error;
  }
}

/** As unmount, while the event loop goes on. */
export async function unmountAsync(target: string): Promise<boolean> {
  try {
    await unmountAtAsync(target, topmost);
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT")) return false;
    throw error;
  }
}

const topmost = unmountFlags.detach | unmountFlags.noFollow;

/** Lays a writable layer over read-only ones; `lower` is topmost first. Paths may hold any character. @throws KernelError */
export function mountOverlay(overlay: { lower: readonly string[]; upper: string; work: string; target: string }): void {
  const options = [
    `lowerdir=${overlay.lower.map(escapeLower).join(":")}`,
    `upperdir=${escapeOption(overlay.upper)}`,
    `workdir=${escapeOption(overlay.work)}`,
  ];
  const data = options.join(",");
  const op = `mount overlay on ${overlay.target}`;
  // mount(2) cuts options at a page without a word; the layers below would be missing.
  if (Buffer.byteLength(data) >= 4096) throw kernelRefusal(op, 7, { hint: "the paths of all layers together must be shorter than 4 KiB" });
  mountAt({ source: "overlay", target: overlay.target, type: "overlay", flags: 0, data, op });
}

/**
 * Whether another file system begins at this very path, however many mounts the host has. A directory bound within its own file system
 * is not told from a plain one. @throws KernelError when it is not there
 */
export function isMounted(target: string): boolean {
  const device = (path: string): number => asKernel(`inspect ${path}`, () => fs.lstatSync(path)).dev;
  return device(target) !== device(dirname(target));
}

/** The mounts of this process's mount namespace, oldest first. @throws KernelError, WireError */
export function listMounts(): Mount[] {
  return parseMountinfo(asKernel("read /proc/self/mountinfo", () => fs.readFileSync("/proc/self/mountinfo", "utf8")));
}

/** @throws WireError naming the line */
export function parseMountinfo(text: string): Mount[] {
  return text.split("\n").flatMap((line, index) => (line === "" ? [] : [parseLine(line, index + 1)]));
}

function parseLine(line: string, number: number): Mount {
  const fields = line.split(" ");
  const dash = fields.indexOf("-", 6);
  const [id, parent, device, root, target, options] = fields;
  const [type, source, superOptions] = fields.slice(dash + 1);
  if (dash === -1 || options === undefined || superOptions === undefined || !isNumber(id) || !isNumber(parent)) {
    throw new WireError("mountinfo", `line ${number} is not understood: ${line.slice(0, 80)}`);
  }
  return {
    id: Number(id),
    parent: Number(parent),
    device: device ?? "",
    root: unescape(root ?? ""),
    target: unescape(target ?? ""),
    options: options.split(","),
    propagation: fields.slice(6, dash),
    type: unescape(type ?? ""),
    source: unescape(source ?? ""),
    superOptions: superOptions.split(","),
  };
}

function isNumber(text: string | undefined): boolean {
  return text !== undefined && /^\d+$/.test(text);
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Options are split at commas, the list of lower layers at colons; the kernel undoes one backslash before either. */
function escapeOption(path: string): string {
  return path.replaceAll(/[\\,]/g, "\\$&");
}

function escapeLower(path: string): string {
  return path.replaceAll(/[\\,:]/g, "\\$&");
}
