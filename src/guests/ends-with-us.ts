import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type CgroupHost, cgroupTrees, killCgroup } from "../kernel/cgroups.ts";
import { runtimeEnvironment } from "./supervisor.ts";

/**
 * Has a cgroup killed when this process ends, also by SIGKILL: a shell waits for the end of a pipe that nobody else holds, and no
 * signal that asks ends it sooner. Disposing lets go of the group; so does whatever ends the shell, for then the group is killed.
 * @throws errors of spawn: then nobody waits
 */
export async function endsWithUs(host: CgroupHost, path: string): Promise<Disposable> {
  const groups = cgroupTrees(host).map((tree) => join(tree, path));
  const child = spawn("/bin/sh", ["-c", waiting, "nexus-run-end", ...groups], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    cwd: "/",
    env: runtimeEnvironment(),
  });
  child.stdin.on("error", () => undefined);
  await once(child, "spawn");
  const bereft = (): void => void killCgroup(host, path).catch(() => undefined);
  child.once("exit", bereft);
  return {
    [Symbol.dispose]() {
      child.off("exit", bereft);
      child.stdin.end("over\n");
    },
  };
}

/** A command that the kernel kills when this process ends. It alone: what it starts is for `endsWithUs`. */
export function killedWithUs(command: readonly [string, ...string[]]): [string, ...string[]] {
  return ["setpriv", "--pdeathsig", "KILL", "--", "/bin/sh", "-c", orphanless, "nexus", String(process.pid), ...command];
}

/** Nothing is begun by one that lost its parent before it could ask for the signal. */
const orphanless = '[ "$PPID" = "$1" ] && shift && exec "$@"';

/**
 * Only words of the shell itself, so that it needs no process to kill others. Without room for another process nothing can get away by
 * forking; what is frozen does not die; and for some seconds more may come, by a container that was about to begin.
 */
const waiting = `
trap '' HUP INT TERM
slay() {
  for group; do
    [ -d "$group" ] || continue
    there=yes
    echo 1 >"$group/cgroup.kill"
    echo 0 >"$group/pids.max"
    while read -r pid; do
      [ "$pid" -le 1 ] || kill -KILL "$pid"
    done <"$group/cgroup.procs"
    echo THAWED >"$group/freezer.state"
    slay "$group"/*/
  done
}
read -r over && exit
n=0
while [ "$n" -lt 50 ]; do
  there=
  slay "$@"
  [ -n "$there" ] || exit
  sleep 0.1
  n=$((n + 1))
done
`;
