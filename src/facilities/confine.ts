import { program } from "./programs.ts";
import { runTool, type ToolOptions, type ToolResult } from "./tool.ts";

/** Who a program runs as, where, and with what reach. */
export type Confinement = {
  owner: { uid: number; gid: number };
  /** It runs in this directory, and is told of it as `directoryInside`. */
  directory: string;
  network: "none" | "host";
  /** The largest file it may write. */
  fileBytes: number;
};

/**
 * Runs a program that works on bytes others chose, with no right but those of the facility's uid: no privilege to be had by it or its
 * children, namespaces of its own, and an end with the daemon's. An ordinary user's daemon has only its own rights to give, and no
 * namespaces. `words` gets the path at which it sees its directory.
 * @throws NexusError as runTool
 */
export async function runConfined(c: Confinement, words: (inside: string) => readonly string[], o: ToolOptions): Promise<ToolResult> {
  const limits = [program("prlimit"), "--core=0", `--as=${memoryBytes}`, `--fsize=${c.fileBytes}`, "--nofile=1024", "--"];
  if (process.getuid?.() !== 0) {
    const words0 = ["--pdeathsig", "KILL", "--no-new-privs", "--", ...limits, ...words(c.directory)];
    return await runTool(program("setpriv"), words0, { ...o, cwd: c.directory });
  }
  const { uid, gid } = c.owner;
  // Said again at the end: a change of identity makes the kernel forget it (prctl(2), PR_SET_PDEATHSIG).
  const identity = ["--pdeathsig", "KILL", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  const rights = ["--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];
  const net = c.network === "none" ? ["--net"] : [];
  const apart = [
    program("unshare"),
    "--mount",
    "--pid",
    "--ipc",
    "--uts",
    ...net,
    "--propagation",
    "private",
    "--fork",
    "--kill-child=KILL",
  ];
  const entered = ["/bin/sh", "-c", enter, "sh", program("mount"), c.directory, program("setpriv"), ...identity, ...rights];
  return await runTool(program("setpriv"), ["--pdeathsig", "KILL", "--", ...apart, "--", ...entered, "--", ...limits, ...words(inside)], o);
}

/** The directory is seen where everybody may go, though nobody may pass the directories above it; and where no repository of the host is. */
const inside = "/dev/shm";
const enter = 'tool="$1" && "$tool" -n --bind -- "$2" /dev/shm && cd /dev/shm && shift 2 && exec "$@"';
const memoryBytes = 4 * 1024 ** 3;
