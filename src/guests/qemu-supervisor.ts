import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import type { QemuLayout } from "./qemu-layout.ts";

/**
 * Runs QEMU below a small shell in a session of its own, so that the guest outlives the daemon, however it ends, and QEMU's exit
 * status is still written down. `fds` become descriptors 3, 4, … of QEMU. The shell sees paths and words only as positional
 * parameters, never as program text.
 */
export function superviseQemu(layout: QemuLayout, command: readonly [string, ...string[]], fds: readonly number[]): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_NOFOLLOW } = constants;
  const said = openSync(layout.said, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    const child = spawn("/bin/sh", ["-c", supervisorScript, "nexus-vm", layout.directory, ...command], {
      detached: true,
      stdio: ["ignore", said, said, ...fds],
      cwd: "/",
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    // A failed spawn shows as a supervisor that never wrote its number; the caller's deadline tells.
    child.on("error", () => undefined);
    child.unref();
  } finally {
    closeSync(said);
  }
}

/** QEMU's exit status, once the supervisor has written all of it. */
export function readQemuExit(layout: QemuLayout): { code: number; at: string } | undefined {
  try {
    const text = readFileSync(layout.exit, "utf8");
    return /^\d{1,3}\n$/.test(text) ? { code: Number(text), at: statSync(layout.exit).mtime.toISOString() } : undefined;
  } catch {
    return undefined;
  }
}

/** `exit` is one write of a line: a reader that sees no line feed has come too early. */
const supervisorScript = `
umask 077
cd "$1" || exit 70
echo "$$" >supervisor
shift
"$@" </dev/null
echo "$?" >exit
`;
