import { commandCheck, commandRefusal } from "./command-check.ts";
import { sandboxUser } from "./sandbox-root.ts";

/** Descriptors the sandbox's makers have beside the command's three; neither is open in the command. */
export const gateFd = 3;
export const filterFd = 4;
/** Of the workspace, where bubblewrap mounts it itself. */
export const workspaceFd = 5;

/** What differs between sandboxes before it is known what runs in them. */
export type Shape = {
  /** Mounts in bubblewrap's words, in their order. */
  mounts: readonly string[];
  terminal: boolean;
  /** Whether bubblewrap itself makes its network, which has loopback alone. */
  makesNetwork?: true;
};

/** Waits until this process is in its cgroup. Nothing happens when the daemon ends first. */
const gate = `read -r _ <&${gateFd} && exec "$@"`;

/**
 * bubblewrap by its path, and all its words: the same for every run, for the words of a process can be read by all.
 * User namespaces are shut off twice, here and by the filter: in one of its own the command had every capability.
 */
export function bubblewrapCommand(program: string, { mounts, terminal, makesNetwork }: Shape): [string, ...string[]] {
  const { uid, gid, name } = sandboxUser;
  const options = [
    ...["user", "pid", "ipc", "uts", "cgroup", ...(makesNetwork ? ["net"] : [])].map((kind) => `--unshare-${kind}`),
    ..."--disable-userns --as-pid-1 --new-session --die-with-parent --cap-drop ALL --clearenv --chdir /".split(" "),
    ...`--uid ${uid} --gid ${gid} --hostname ${name}`.split(" "),
    ...mounts,
    "--seccomp",
    String(filterFd),
  ];
  return ["/bin/sh", "-c", gate, name, program, ...options, "--", "/bin/sh", "-c", initScript(terminal), name];
}

/** Of a stage, where everything is mounted already but what must be the sandbox's own. */
export function stagedMounts(masks: readonly { path: string; directory: boolean }[]): string[] {
  return [
    ..."--dev-bind /root / --proc /proc".split(" "),
    ...masks.flatMap(({ path, directory }) => ["--ro-bind", directory ? "/empty" : "/nothing", path]),
  ];
}

/**
 * The sandbox's first process. It tells that it is up, is given a job (see `encodeJob`), tells that it begins, runs the command as
 * its child, and ends with it, which ends everything else. It is under the filter as the command is, which may write to its
 * memory; bubblewrap's own would not be. It evaluates nothing it reads. Its own words must not be taken for the command's.
 */
function initScript(terminal: boolean): string {
  // The command leads a session of its own then, whose terminal that is: shells want it for their jobs.
  const leader = terminal ? `[ ! -x ${setsid} ] || set -- ${setsid} -c -- "$@"` : ":";
  return `
_nexus_newline='
'
_nexus_read() {
  IFS= read -r _nexus_lines <&${gateFd} && IFS= read -r _nexus_word <&${gateFd} || exit 125
  while [ "$_nexus_lines" -gt 1 ]; do
    IFS= read -r _nexus_line <&${gateFd} || exit 125
    _nexus_word=$_nexus_word$_nexus_newline$_nexus_line
    _nexus_lines=$((_nexus_lines - 1))
  done
}
umask 022
echo up >&${gateFd}
_nexus_read
ulimit -c 0 && ulimit -n "$_nexus_word" || exit 125
_nexus_read
[ -z "$_nexus_word" ] || ulimit -v "$_nexus_word" || exit 125
_nexus_read
[ -z "$_nexus_word" ] || ulimit -u "$_nexus_word" 2>/dev/null || ulimit -p "$_nexus_word" || exit 125
_nexus_read
cd -P "$_nexus_word" || exit 125
_nexus_read
_nexus_left=$_nexus_word
while [ "$_nexus_left" -gt 0 ]; do
  _nexus_read
  export "$_nexus_word"
  _nexus_left=$((_nexus_left - 1))
done
unset OLDPWD
_nexus_read
_nexus_left=$_nexus_word
set --
while [ "$_nexus_left" -gt 0 ]; do
  _nexus_read
  set -- "$@" "$_nexus_word"
  _nexus_left=$((_nexus_left - 1))
done
${commandCheck}
${leader}
echo begins >&${gateFd}
${commandRefusal}
exec ${gateFd}>&- 6>&2 2>/dev/null
(exec 2>&6 6>&-; exec "$@")
exit $?`;
}

const setsid = "/usr/bin/setsid";

/** What the first process is told, in the order in which it reads. */
export type Job = {
  openFiles: number;
  /** Where no cgroup limits it: bytes of each process, and processes. */
  rlimits?: { addressSpaceBytes: number; processes: number };
  cwd: string;
  env: Readonly<Record<string, string>>;
  command: readonly string[];
};

/** Each word as the number of its lines and those lines: a shell can read that, whatever is in them but NUL. */
export function encodeJob({ openFiles, rlimits, cwd, env, command }: Job): string {
  const own = rlimits === undefined ? ["", ""] : [String(Math.floor(rlimits.addressSpaceBytes / 1024)), String(rlimits.processes)];
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [String(openFiles), ...own, cwd, String(variables.length), ...variables, String(command.length), ...command]
    .map((word) => `${word.split("\n").length}\n${word}\n`)
    .join("");
}

/** Names of variables the first process uses for itself. */
export const reservedVariable = /^_nexus_/;
