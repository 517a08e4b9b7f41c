import { spawn } from "node:child_process";
import { lstatSync, readFileSync, statSync } from "node:fs";
import type { LogLimits } from "./guest-log.ts";
import type { OciLayout } from "./oci-layout.ts";

/** How an OCI runtime is called here. `cover` names a mount point to be hidden from it by an empty file system of its own. */
export type RuntimeCommand = { program: string; cover?: string };

/**
 * Runs the runtime in the foreground below a small shell in a session of its own, so that the container outlives the
 * daemon, however it ends, and its exit status is still written down. The shell sees paths and words only as positional
 * parameters, never as program text.
 *
 * The guest's output is a pipe, never the log file: what it has open it could make any length, lease or lock. A second
 * shell writes the log and puts it aside when full, with or without a daemon. The exit status comes after all output.
 */
export function supervise(layout: OciLayout, runtime: RuntimeCommand, run: { args: readonly string[]; log: LogLimits }): void {
  const blocks = Math.min(mostBlocks, Math.max(1, Math.floor(run.log.maxBytes / blockBytes)));
  const [program, ...words] = inView(runtime, [
    "/bin/sh",
    "-c",
    supervisorScript,
    "nexus-guest",
    layout.directory,
    runtime.cover ?? "",
    ...[blockBytes, blocks, run.log.maxBytes, run.log.keep, logSize(layout.log)].map(String),
    runtime.program,
    ...run.args,
  ]);
  const child = spawn(program, words, { detached: true, stdio: "ignore", cwd: "/", env: runtimeEnvironment() });
  // A failed spawn shows as a supervisor that never wrote its number; the caller's deadline or exit file tells.
  child.on("error", () => undefined);
  child.unref();
}

/** The command line of a runtime call that needs the same view of the host as the supervised one. */
export function runtimeCall(runtime: RuntimeCommand, args: readonly string[]): [string, ...string[]] {
  if (runtime.cover === undefined) return [runtime.program, ...args];
  return inView(runtime, ["/bin/sh", "-c", callScript, "nexus-call", runtime.cover, runtime.program, ...args]);
}

export function runtimeEnvironment(): Record<string, string> {
  return { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
}

/** The runtime's exit status, once the supervisor has written all of it. */
export function readExit(layout: OciLayout): { code: number; at: string } | undefined {
  try {
    const text = readFileSync(layout.exit, "utf8");
    return /^\d{1,3}\n$/.test(text) ? { code: Number(text), at: statSync(layout.exit).mtime.toISOString() } : undefined;
  } catch {
    return undefined;
  }
}

/** The supervising shell while it lives, recognised by its command line: numbers of processes are used again. */
export function supervisorPid(layout: OciLayout): number | undefined {
  try {
    const pid = Number(readFileSync(layout.supervisor, "utf8"));
    if (!Number.isInteger(pid) || pid < 2) return undefined;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(layout.directory) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** The log is looked at for its size after so much of it, or so many pieces, at most. */
const blockBytes = 8192;
const mostBlocks = 256;

function logSize(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * `exit` is one write of a line: a reader that sees no line feed has come too early.
 * dd(1) writes what it reads at once and counts it; a run that ends short of its blocks met the end of the output. When
 * it cannot write (a full disk, a directory being removed) one piece is dropped, so that the guest does not hang.
 * A guest that writes without rest is held to some 20 MB/s.
 */
const supervisorScript = `
cd "$1" || exit 70
echo "$$" >supervisor
[ -z "$2" ] || mount -t tmpfs -o size=64k,mode=755 none "$2" 2>>log || exit 71
bytes=$3 blocks=$4 limit=$5 keep=$6 size=$7
shift 7
{
  "$@" </dev/null 2>&1
  echo "$?" >status
} | {
  umask 077
  records() {
    read=0
    while [ "$#" -gt 1 ]; do
      [ "$2" = records ] && read=$(($1)) && return
      shift
    done
    return 1
  }
  while :; do
    if said=$(dd bs="$bytes" count="$blocks" 2>&1 >>log); then
      records \${said} && [ "$read" -eq "$blocks" ] || break
      set -- \${said##*records out}
      size=$((size + $1))
      [ "$1" -lt 1048576 ] || sleep 0.1
    else
      said=$(dd bs="$bytes" count=1 2>&1 >/dev/null)
      records \${said} && [ "$read" -gt 0 ] || break
    fi
    [ "$size" -ge "$limit" ] || continue
    n=$keep
    while [ "$n" -gt 1 ]; do
      [ ! -e "log.$((n - 1))" ] || mv -f "log.$((n - 1))" "log.$n"
      n=$((n - 1))
    done
    mv -f log log.1
    size=0
  done
}
read -r code <status
echo "$code" >exit
`;

const callScript = `mount -t tmpfs -o size=64k,mode=755 none "$1" || exit 71; shift; exec "$@"`;

/** A private view where something is to be covered; unmounts made on the host still reach it. */
function inView(runtime: RuntimeCommand, command: [string, ...string[]]): [string, ...string[]] {
  return runtime.cover === undefined ? command : ["unshare", "--mount", "--propagation", "slave", "--", ...command];
}
