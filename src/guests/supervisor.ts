import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import type { OciLayout } from "./oci-layout.ts";

/** How an OCI runtime is called here. `cover` names a mount point to be hidden from it by an empty file system of its own. */
export type RuntimeCommand = { program: string; cover?: string };

/**
 * Runs the runtime in the foreground below a small shell in a session of its own, so that the container outlives the
 * daemon, however it ends, and its exit status is still written down. The shell sees paths and words only as positional
 * parameters, never as program text.
 */
export function supervise(layout: OciLayout, runtime: RuntimeCommand, args: readonly string[]): void {
  const log = openSync(layout.log, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, 0o600);
  try {
    const [program, ...words] = inView(runtime, [
      "/bin/sh",
      "-c",
      supervisorScript,
      "nexus-guest",
      layout.directory,
      runtime.cover ?? "",
      runtime.program,
      ...args,
    ]);
    const child = spawn(program, words, { detached: true, stdio: ["ignore", log, log], cwd: "/", env: runtimeEnvironment() });
    // A failed spawn shows as a supervisor that never wrote its number; the caller's deadline or exit file tells.
    child.on("error", () => undefined);
    child.unref();
  } finally {
    closeSync(log);
  }
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

/** `exit` is one write of a line: a reader that sees no line feed has come too early. */
const supervisorScript = `
cd "$1" || exit 70
echo "$$" >supervisor
[ -z "$2" ] || mount -t tmpfs -o size=64k,mode=755 none "$2" || exit 71
shift 2
"$@" </dev/null
echo "$?" >exit
`;

const callScript = `mount -t tmpfs -o size=64k,mode=755 none "$1" || exit 71; shift; exec "$@"`;

/** A private view where something is to be covered; unmounts made on the host still reach it. */
function inView(runtime: RuntimeCommand, command: [string, ...string[]]): [string, ...string[]] {
  return runtime.cover === undefined ? command : ["unshare", "--mount", "--propagation", "slave", "--", ...command];
}
