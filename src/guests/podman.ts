import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, killCgroup, listCgroups, removeCgroup } from "../kernel/cgroups.ts";
import { endRun, runForeground } from "./foreground.ts";
import { containerCgroup } from "./oci-limits.ts";
import { hasExecuted, readPid } from "./oci-process.ts";
import { removeTree } from "./remove-tree.ts";
import type { RootImage } from "./rootfs.ts";
import type { SandboxDriver, SandboxPlan } from "./sandbox.ts";
import { openSandboxNetwork } from "./sandbox-network.ts";
import { type RuntimeCommand, runtimeCall, runtimeEnvironment } from "./supervisor.ts";
import { refusedCommand, resourcesOf } from "./trusted.ts";
import { sandboxUser } from "./trusted-config.ts";

export type PodmanOptions = {
  /** For trials. */
  directory: string;
  /** The root file system commands run on whose plan names none. */
  image: () => Promise<RootImage>;
  /** The OCI runtime that works here, which podman is told to use. */
  runtime: () => Promise<RuntimeCommand>;
  cgroups: CgroupHost;
  /** All runs' cgroups are below it. */
  cgroupParent: string;
  program?: string;
  startDeadlineMs?: number;
};

/** The trusted profile by podman: the same confinement as our own containers', on the same images. */
export function createPodmanDriver(options: PodmanOptions): SandboxDriver {
  const { cgroups } = options;
  const program = options.program ?? "podman";
  const groupOf = (id: string): string => `${options.cgroupParent}/${id}`;
  // Beside the container's own group podman puts one for conmon, which holds its streams and tells of its end.
  const commandGroups = (id: string) => (): string[] => {
    const parent = containerCgroup(groupOf(id));
    return listCgroups(cgroups, parent).flatMap((name) => (name.startsWith("libpod-") ? [`${parent}/${name}`] : []));
  };
  const call = async (words: readonly string[]): Promise<[string, ...string[]]> => {
    const runtime = await options.runtime();
    const [shell, ...rest] = runtimeCall({ ...runtime, program }, ["--cgroup-manager", "cgroupfs", "--runtime", runtime.program, ...words]);
    return [shell, ...rest];
  };
  const forget = async (id: string, directory: string): Promise<void> => {
    // Its record in podman's own books, whatever became of the container, and of a podman that was killed before it said its number.
    if (existsSync(configurationFile(directory))) {
      const words = await call(["rm", "--force", "--ignore", "--time", "0", nameOf(id)]);
      // It looks at a container that has just been killed, and fails when that ends meanwhile.
      await run(words, directory).catch(() => run(words, directory));
    }
    await removeTree(directory);
  };

  return {
    name: "podman",
    root: "image",

    async check() {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      const directory = mkdtempSync(join(options.directory, "podman-"));
      // Left to itself podman makes one at the top, and leaves it there.
      const cgroup = groupOf(basename(directory));
      try {
        writeConfiguration(directory);
        const version = await run([program, "--version"], directory);
        const words = ["run", "--rm", "--network", "none", "--log-driver", "none", "--cgroup-parent", cgroup];
        await run(await call([...words, ...imageWords(await options.image()), "true"]), directory);
        return { works: true, detail: version.trim() };
      } catch (error) {
        const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
        return absent
          ? { works: false, reason: `${program} is not installed`, hint: "apt-get install podman" }
          : { works: false, reason: error instanceof Error ? error.message : String(error) };
      } finally {
        await killCgroup(cgroups, cgroup);
        removeCgroup(cgroups, cgroup);
        await removeTree(directory);
      }
    },

    async start(plan, signal) {
      const cgroup = groupOf(plan.id);
      const ending = { cgroups, cgroup, commandGroups: commandGroups(plan.id), remove: () => forget(plan.id, plan.directory) };
      using stack = new DisposableStack();
      let command: [string, ...string[]];
      const pidFile = join(plan.directory, "pid");
      try {
        mkdirSync(plan.directory, { recursive: true, mode: 0o700 });
        writeConfiguration(plan.directory);
        const network = plan.egress.kind === "host" ? undefined : stack.use(openSandboxNetwork(plan.egress));
        await killCgroup(cgroups, cgroup);
        removeCgroup(cgroups, cgroup);
        setLimits(cgroups, cgroup, resourcesOf(plan.limits));
        const words = [...runWords(plan, network?.path), "--cgroup-parent", containerCgroup(cgroup), "--pidfile", pidFile];
        command = await call([...words, ...imageWords(plan.root ?? (await options.image())), ...plan.command]);
      } catch (error) {
        await endRun(ending);
        throw error;
      }
      const held = stack.move();
      return runForeground(
        {
          ...ending,
          remove: async () => {
            held.dispose();
            await ending.remove();
          },
          plan,
          command: () => command,
          env: configurationOf(plan.directory),
          handsTerminalOver: false,
          findCommand() {
            const pid = readPid(pidFile);
            return pid !== undefined && hasExecuted(pid) ? pid : undefined;
          },
          // podman-run(1), "Exit Status": 125 is its own, but 126 and 127 are also the runtime's, before there is a container.
          judge(code, said) {
            if (existsSync(pidFile) || code < 125) return { code };
            return (/executable/.test(said) ? refusedCommand(plan.command[0], said) : undefined) ?? { refused: lastWords(said) };
          },
          deadlineMs: options.startDeadlineMs ?? 30_000,
        },
        signal,
      );
    },

    sweep: ({ id, directory }) =>
      endRun({ cgroups, cgroup: groupOf(id), commandGroups: commandGroups(id), remove: () => forget(id, directory) }),
  };
}

/** What podman is told of the sandbox; nothing of it is secret, for arguments are everybody's to read. */
function runWords(plan: SandboxPlan, netns: string | undefined): string[] {
  const { uid, gid } = sandboxUser(plan);
  const { limits, workspace } = plan;
  writeFileSync(environmentFile(plan.directory), environmentLines(plan.env), { mode: 0o600 });
  return [
    ["run", "--rm", "--name", nameOf(plan.id), "--interactive", ...(plan.terminal === undefined ? [] : ["--tty"])],
    ["--network", netns === undefined ? "host" : `ns:${netns}`, "--no-hosts", "--dns", "none", "--http-proxy=false"],
    ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", `${uid}:${gid}`, "--hostname", "sandbox"],
    ["--ulimit", `nofile=${limits.openFiles}:${limits.openFiles}`, "--ulimit", "core=0:0"],
    // Its own default is more than a daemon may set; the cgroup has the limit that counts.
    ["--ulimit", "nproc=4096:4096"],
    ["--read-only", "--tmpfs", `/tmp:size=${limits.scratchBytes},mode=1777`, "--init=false", "--log-driver", "none"],
    ["--unsetenv-all", "--env-file", environmentFile(plan.directory), "--workdir", plan.cwd],
    workspace === undefined ? [] : ["--mount", `type=bind,${quoted(`source=${workspace.source}`)},target=${workspace.target}`],
    ["--entrypoint", ""],
  ].flat();
}

/** @throws NexusError `spec-invalid` for a value that podman's file cannot hold */
function environmentLines(env: Record<string, string>): string {
  const broken = Object.entries(env).find(([, value]) => value.includes("\n"));
  if (broken !== undefined)
    throw new NexusError("spec-invalid", `the value of ${broken[0]} has several lines, which podman cannot be given`, {
      hint: "use --driver oci",
    });
  return Object.entries(env)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

function environmentFile(directory: string): string {
  return join(directory, "environment");
}

/** With a layer of its own over it. */
function imageWords({ lower }: Pick<RootImage, "lower">): string[] {
  return ["--rootfs", `${lower}:O`];
}

/** Mounts are one line of comma-separated values (RFC 4180). */
function quoted(field: string): string {
  return `"${field.replaceAll('"', '""')}"`;
}

function nameOf(id: string): string {
  return `nexus-${id}`;
}

/** Where podman would read the host's own choices; default limits of files and processes fail where the daemon's are lower. */
function writeConfiguration(directory: string): void {
  const limits = `default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]`;
  writeFileSync(configurationFile(directory), `[containers]\n${limits}\n[engine]\nevents_logger = "none"\n`, { mode: 0o600 });
}

function configurationOf(directory: string): Record<string, string> {
  return { CONTAINERS_CONF: configurationFile(directory), HOME: directory };
}

function configurationFile(directory: string): string {
  return join(directory, "containers.conf");
}

/** @throws NexusError `runtime-failed` with the last of what it said */
function run([program, ...args]: [string, ...string[]], directory: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...runtimeEnvironment(), ...configurationOf(directory) };
    execFile(program, args, { env, cwd: "/", timeout: 60_000, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (error.code === "ENOENT") return reject(error);
      reject(new NexusError("runtime-failed", `podman failed: ${lastWords(stderr) || error.message}`));
    });
  });
}

function lastWords(said: string): string {
  return said.trim().split("\n").slice(-3).join("; ").slice(0, 500);
}
