import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { type CgroupHost, type Controller, controllerDirectory, createCgroup } from "./cgroups.ts";

/** What a group may use. Absent means no limit of its own. */
export type ResourceLimits = {
  memoryBytes?: number;
  /** Weight on the scale of cgroup v1, 2-262144, 1024 being one share. */
  cpuShares?: number;
  /** Processors' worth of time. */
  cpus?: number;
  pids?: number;
};

/**
 * Makes the group, sets the limits and reads every one back. Memory is a limit without swap beside it.
 * @throws NexusError `limit-refused` with the file, the value and what the kernel answered or kept instead
 */
export function setLimits(host: CgroupHost, path: string, limits: ResourceLimits): ResourceLimits {
  const memoryTree = controllerDirectory(host, "memory", path) === undefined ? [] : (["memory"] as const);
  createCgroup(host, path, [...new Set([...memoryTree, ...controllersOf(limits)])]);
  for (const setting of settingsOf(host, path, limits)) apply(setting);
  const kept = readLimits(host, path, limits);
  const [difference] = limitDifferences(host, path, limits);
  if (difference !== undefined)
    throw new NexusError("limit-refused", `for cgroup ${path} ${difference}`, { details: { asked: limits, kept } });
  return kept;
}

/** In words, each limit that the kernel has otherwise than asked; limits not asked for do not count. */
export function limitDifferences(host: CgroupHost, path: string, asked: ResourceLimits): string[] {
  const kept = readLimits(host, path, asked);
  return (Object.keys(asked) as (keyof ResourceLimits)[])
    .filter((key) => !same(key, asked[key], kept[key]))
    .map((key) => `the kernel has ${key} ${kept[key] ?? "unlimited"} instead of ${asked[key]}`);
}

/**
 * The limits as the kernel has them now. `asked` only settles rounding on v2: many shares map to one weight, and the asked
 * ones, or the default's 1024, are given back when they map to the weight that is there.
 */
export function readLimits(host: CgroupHost, path: string, asked: ResourceLimits = {}): ResourceLimits {
  const memory = readMemory(host, path);
  const cpu = readCpu(host, path, asked.cpuShares);
  const pids = readNumber(controllerDirectory(host, "pids", path)?.directory, "pids.max");
  return {
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(cpu.shares === undefined ? {} : { cpuShares: cpu.shares }),
    ...(cpu.cpus === undefined ? {} : { cpus: cpu.cpus }),
    ...(pids === undefined ? {} : { pids }),
  };
}

/**
 * The v2 weight (1-10000) of v1 shares (2-262144): a curve through the two minima, the two defaults (1024 and 100) and the
 * two maxima. A straight line, as older runtimes draw it, would give a default container a third of its weight.
 */
export function weightOfShares(shares: number): number {
  const x = Math.log2(Math.min(Math.max(shares, 2), 262144));
  return Math.min(10000, Math.max(1, Math.ceil(10 ** ((x * x + 125 * x) / 612 - 7 / 34) - 1e-9)));
}

/** The fewest shares that have this weight. */
export function sharesOfWeight(weight: number): number {
  let low = 2;
  let high = 262144;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (weightOfShares(middle) >= weight) high = middle;
    else low = middle + 1;
  }
  return low;
}

const periodMicroseconds = 100_000;
const defaultShares = 1024;
/** cgroup v1 writes "no limit" as the largest page-aligned count. */
const unlimitedMemory = 2 ** 62;

type Setting = { file: string; value: string; optional?: true };

function controllersOf(limits: ResourceLimits): Controller[] {
  return [
    ...(limits.memoryBytes === undefined ? [] : (["memory"] as const)),
    ...(limits.cpuShares === undefined && limits.cpus === undefined ? [] : (["cpu"] as const)),
    ...(limits.pids === undefined ? [] : (["pids"] as const)),
  ];
}

function settingsOf(host: CgroupHost, path: string, limits: ResourceLimits): Setting[] {
  const settings: Setting[] = [];
  const put = (controller: Controller, name1: string, value1: string, name2: string, value2: string, optional = false): void => {
    const place = controllerDirectory(host, controller, path);
    if (place === undefined) return;
    const [name, value] = place.version === 1 ? [name1, value1] : [name2, value2];
    settings.push({ file: join(place.directory, name), value, ...(optional ? { optional: true as const } : {}) });
  };
  if (limits.memoryBytes !== undefined) {
    const bytes = String(limits.memoryBytes);
    // Kernels without swap accounting lack these files; then swap cannot be limited, and mostly there is none.
    const withSwap = (): void => put("memory", "memory.memsw.limit_in_bytes", bytes, "memory.swap.max", "0", true);
    // On v1 memory alone may never be allowed more than memory and swap together.
    const raised =
      (readNumber(controllerDirectory(host, "memory", path)?.directory, "memory.memsw.limit_in_bytes") ?? Infinity) < limits.memoryBytes;
    if (raised) withSwap();
    put("memory", "memory.limit_in_bytes", bytes, "memory.max", bytes);
    if (!raised) withSwap();
  }
  if (limits.cpuShares !== undefined)
    put("cpu", "cpu.shares", String(limits.cpuShares), "cpu.weight", String(weightOfShares(limits.cpuShares)));
  if (limits.cpus !== undefined) {
    const quota = quotaOf(limits.cpus);
    put("cpu", "cpu.cfs_period_us", String(periodMicroseconds), "cpu.max", `${quota} ${periodMicroseconds}`);
    if (controllerDirectory(host, "cpu", path)?.version === 1) put("cpu", "cpu.cfs_quota_us", String(quota), "", "");
  }
  if (limits.pids !== undefined) put("pids", "pids.max", String(limits.pids), "pids.max", String(limits.pids));
  return settings;
}

function apply(setting: Setting): void {
  if (setting.optional && !existsSync(setting.file)) return;
  try {
    writeFileSync(setting.file, setting.value, { flag: "r+" });
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new NexusError("limit-refused", `write ${setting.value} to ${setting.file}: ${errno}`, {
      cause: error,
      details: { ...setting, errno },
    });
  }
}

function readMemory(host: CgroupHost, path: string): number | undefined {
  const place = controllerDirectory(host, "memory", path);
  const bytes = readNumber(place?.directory, place?.version === 1 ? "memory.limit_in_bytes" : "memory.max");
  return bytes === undefined || bytes >= unlimitedMemory ? undefined : bytes;
}

function readCpu(host: CgroupHost, path: string, asked = defaultShares): { shares: number | undefined; cpus: number | undefined } {
  const place = controllerDirectory(host, "cpu", path);
  if (place === undefined) return { shares: undefined, cpus: undefined };
  if (place.version === 1) {
    const quota = readNumber(place.directory, "cpu.cfs_quota_us");
    const period = readNumber(place.directory, "cpu.cfs_period_us") ?? periodMicroseconds;
    return {
      shares: readNumber(place.directory, "cpu.shares"),
      cpus: quota === undefined || quota < 0 ? undefined : cpusOf(quota, period),
    };
  }
  const weight = readNumber(place.directory, "cpu.weight");
  const [quota, period] = (readLine(place.directory, "cpu.max") ?? "max").split(" ");
  return {
    shares: weight === undefined ? undefined : weightOfShares(asked) === weight ? asked : sharesOfWeight(weight),
    cpus: quota === undefined || quota === "max" ? undefined : cpusOf(Number(quota), Number(period)),
  };
}

/** A quota is whole microseconds, so the thirds of a processor come back a little rounded. */
function same(key: keyof ResourceLimits, asked: number | undefined, kept: number | undefined): boolean {
  if (key === "cpus" && asked !== undefined && kept !== undefined) return quotaOf(asked) === quotaOf(kept);
  return asked === kept;
}

/** The kernel takes whole microseconds, 1 ms at least. */
function quotaOf(cpus: number): number {
  return Math.max(1000, Math.round(cpus * periodMicroseconds));
}

function cpusOf(quota: number, period: number): number {
  return quota / period;
}

function readNumber(directory: string | undefined, name: string): number | undefined {
  const line = directory === undefined ? undefined : readLine(directory, name);
  if (line === undefined || line === "max") return undefined;
  const value = Number(line);
  return Number.isFinite(value) ? value : undefined;
}

function readLine(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), "utf8").trim();
  } catch {
    return undefined;
  }
}
