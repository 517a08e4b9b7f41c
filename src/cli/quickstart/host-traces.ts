import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "./programs.ts";
import type { Made } from "./record.ts";
import { configFiles, defaultConfig, placesOf } from "../../spec/config.ts";
import { parseConfig } from "../../spec/config-file.ts";
import type { Surroundings } from "../../spec/places.ts";

/** What the OCI runtimes keep of containers; they never remove it. */
const runtimeDirs = ["/run/crun", "/run/runc"];

export type Places = { stateDir: string; runDir: string; netnsDir: string };

/** Where the daemon of this host keeps things, running or not. @throws SpecError when its configuration file has faults */
export function daemonPlaces(surroundings: Surroundings): Places {
  const file = configFiles(surroundings).find((path) => existsSync(path));
  const config = file === undefined ? defaultConfig() : parseConfig(readFileSync(file, "utf8"), file);
  const { stateDir, runDir } = placesOf(config, surroundings);
  return { stateDir, runDir, netnsDir: "/run/netns" };
}

/** What a daemon started now would be the first to make. */
export function missingTraces(places: Places): Made {
  const isMount = mountsNow().some((mount) => mount.target === places.netnsDir);
  return {
    state: !existsSync(places.stateDir) ? "directory" : readdirSync(places.stateDir).length === 0 ? "content" : "none",
    runDir: !existsSync(places.runDir),
    netnsDir: !existsSync(places.netnsDir),
    netnsMount: !isMount,
    shared: [...cgroupParents(), ...runtimeDirs].filter((directory) => !existsSync(directory)),
  };
}

/** Removes what was made; what others use meanwhile stays. Gives a line for each thing removed or kept. */
export async function removeTraces(made: Made, places: Places, path: string): Promise<string[]> {
  const lines: string[] = [];
  for (const directory of made.shared) if (existsSync(directory)) lines.push(removeEmpty(directory));
  if (made.netnsMount && isEmpty(places.netnsDir) && mountsNow().some((mount) => mount.target === places.netnsDir)) {
    const { code, stderr } = await runProgram(["umount", places.netnsDir], { path });
    if (code !== 0) lines.push(`kept the mount on ${places.netnsDir}: ${stderr.trim()}`);
  }
  if (made.netnsDir && existsSync(places.netnsDir)) lines.push(removeEmpty(places.netnsDir));
  if (made.runDir && existsSync(places.runDir)) lines.push(removeWhole(places.runDir));
  if (made.state === "directory" && existsSync(places.stateDir)) lines.push(removeWhole(places.stateDir));
  if (made.state === "content" && existsSync(places.stateDir)) {
    const kept = readdirSync(places.stateDir)
      .map((name) => removeWhole(join(places.stateDir, name)))
      .filter((line) => line.startsWith("kept"));
    lines.push(...(kept.length === 0 ? [`emptied ${places.stateDir}`] : kept));
  }
  return lines;
}

export type MountLine = { target: string; type: string; options: string[] };

/** The mounts of this process (proc_pid_mountinfo(5)). */
export function mountsNow(text: string = readFileSync("/proc/self/mountinfo", "utf8")): MountLine[] {
  return text.split("\n").flatMap((line) => {
    const [left = "", right] = line.split(" - ");
    const target = left.split(" ")[4];
    const [type, , options = ""] = right?.split(" ") ?? [];
    return target === undefined || type === undefined ? [] : [{ target, type, options: options.split(",") }];
  });
}

/** The group above all guests' groups, in every cgroup tree of the host. */
function cgroupParents(): string[] {
  return [
    ...new Set(
      mountsNow()
        .filter((mount) => mount.type === "cgroup" || mount.type === "cgroup2")
        .map((mount) => join(mount.target, "nexus")),
    ),
  ];
}

function removeEmpty(directory: string): string {
  try {
    rmdirSync(directory);
    return `removed ${directory}`;
  } catch (error) {
    return `kept ${directory}: others use it (${(error as NodeJS.ErrnoException).code})`;
  }
}

function removeWhole(directory: string): string {
  const inside = mountsNow().find((mount) => mount.target.startsWith(`${directory}/`));
  if (inside !== undefined) return `kept ${directory}: ${inside.target} is mounted`;
  try {
    rmSync(directory, { recursive: true, force: true });
    return `removed ${directory}`;
  } catch (error) {
    return `kept ${directory}: ${(error as Error).message}`;
  }
}

function isEmpty(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).length === 0;
}
