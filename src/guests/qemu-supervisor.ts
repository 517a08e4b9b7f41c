import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import type { LogLimits } from "./guest-log.ts";
import type { QemuLayout } from "./qemu-layout.ts";

/** `lookSeconds`: how often the log is looked at for its size. */
export type ConsoleLogLimits = LogLimits & { lookSeconds: number };

/**
 * Runs QEMU below a small shell in a session of its own, so that the guest outlives the daemon, however it ends, and QEMU's exit
 * status is still written down. `fds` become descriptors 3, 4, … of QEMU. The shell sees paths and words only as positional
 * parameters, never as program text.
 *
 * QEMU writes the console's log itself, which it has from us open, so beside it the shell puts a full one aside, with or without a daemon.
 */
export function superviseQemu(
  layout: QemuLayout,
  command: readonly string[],
  { fds, log }: { fds: readonly number[]; log: ConsoleLogLimits },
): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_NOFOLLOW } = constants;
  const said = openSync(layout.said, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0o600);
  const limits = [log.lookSeconds, log.maxBytes, log.keep].map(String);
  try {
    const child = spawn("/bin/sh", ["-c", supervisorScript, "nexus-vm", layout.directory, ...limits, ...command], {
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

/**
 * `exit` is one write of a line: a reader that sees no line feed has come too early. A log grows past its limit by what a serial port
 * says between two looks; what it says between copy and cut is lost. On a full disk the copy fails, and the log is cut all the same.
 */
const supervisorScript = `
umask 077
cd "$1" || exit 70
echo "$$" >supervisor
pause=$2 limit=$3 keep=$4
shift 4
full() { [ -e "$1" ] && [ "$(wc -c <"$1")" -ge "$2" ]; }
bound() {
  over=
  # What was begun is ended first. A shell on its way to become the sleep would lose any other signal.
  trap 'over=1; kill -KILL "$!" 2>/dev/null' TERM
  while [ -z "$over" ]; do
    sleep "$pause" &
    [ -z "$over" ] || kill -KILL "$!"
    wait "$!"
    [ -z "$over" ] || exit
    # Whoever would end this was killed, and QEMU with it, or later.
    kill -0 "$$" 2>/dev/null || kill -0 "$(cat qemu.pid 2>/dev/null)" 2>/dev/null || exit
    ! full qemu.log 1048576 || : >qemu.log
    full log "$limit" || continue
    n=$keep
    while [ "$n" -gt 1 ]; do
      [ ! -e "log.$((n - 1))" ] || mv -f "log.$((n - 1))" "log.$n"
      n=$((n - 1))
    done
    cp log log.new && mv -f log.new log.1 || rm -f log.new
    : >log
  done
}
bound >/dev/null 2>&1 &
bounder=$!
"$@" </dev/null &
echo "$!" >qemu.pid || kill -KILL "$!"
wait "$!"
code=$?
kill "$bounder"
wait "$bounder"
echo "$code" >exit
`;
