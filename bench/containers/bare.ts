import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { ip, runOrThrow } from "../program.ts";
import { clockOf, tellTime, wallClock } from "./rootfs.ts";

/** Runs the OCI runtime by hand on a root file system, in a namespace that is there already and empty. Gives milliseconds to the first output. */
export function bareRuntime(runtime: string, rootfs: string): () => number {
  const bundle = "/run/bench-bundle";
  mkdirSync(bundle, { recursive: true });
  runOrThrow(runtime, ["spec", "--bundle", bundle]);
  const config = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as OciConfig;
  config.process.terminal = false;
  config.process.args = [...tellTime];
  config.root.path = rootfs;
  const network = config.linux.namespaces.find((namespace) => namespace.type === "network");
  if (network === undefined) throw new Error(`${runtime} spec names no network namespace`);
  ip(["netns add bench-bare"]);
  network.path = "/run/netns/bench-bare";
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
  const root = `/run/bench-${basename(runtime)}`;
  const [program, ...first] = commandOf(runtime);
  let count = 0;
  return () => {
    const begin = wallClock();
    return clockOf(runOrThrow(program, [...first, "--root", root, "run", "--bundle", bundle, `bench-bare-${count++}`])) - begin;
  };
}

/** crun refuses hosts with cgroup v1 and v2 side by side unless the v2 tree is hidden from it; Nexus does the same for it. */
function commandOf(runtime: string): [string, ...string[]] {
  const unified = "/sys/fs/cgroup/unified";
  if (basename(runtime) !== "crun" || !existsSync(unified)) return [runtime];
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", `mount -t tmpfs none ${unified} && exec "$@"`, "bench", runtime];
}

type OciConfig = {
  process: { terminal: boolean; args: string[] };
  root: { path: string };
  linux: { namespaces: { type: string; path?: string }[] };
};
