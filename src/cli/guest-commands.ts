import type { Command, Flag, Positional } from "./command.ts";
import { egressFlags } from "./egress-flags.ts";
import { composeFile } from "./compose-commands.ts";

export const force: Flag = { name: "force", short: "f", summary: "do it even though it is in use" };
const grace: Flag = { name: "grace", short: "t", value: "TIME", summary: "time to end by itself before it is killed (10s)" };
export const guestNetworks: readonly Flag[] = [
  {
    name: "network",
    value: "NET[:ADDRESS]",
    many: true,
    complete: "network",
    summary: "attach to a network, at an address of it if given",
  },
  ...egressFlags,
  { name: "publish", short: "p", value: "[ADDR:]HOST:GUEST[/udp]", many: true, summary: "forward a host port to the guest" },
];
/** `label` and `alias` are for programs as much as for people: compose files are carried out with them. */
export const marks: readonly Flag[] = [
  { name: "alias", value: "NAME", many: true, summary: "a further name in DNS" },
  { name: "label", value: "KEY=VALUE", many: true, summary: "words for you to find it by" },
];
const policies = ["no", "on-failure", "always", "unless-stopped"] as const;

/** The commands nodes and virtual machines have in common. */
export function lifeCommands({ noun, called, example }: { noun: "node" | "vm"; called: string; example: string }): Command[] {
  const many = called.replace(/^a /, "") + "s";
  const arg: Positional = { name: "NAME", complete: noun, orFlag: "name" };
  const name: Flag = { name: "name", value: "NAME", complete: noun, summary: "the same as NAME" };
  const names: Flag = { ...name, many: true };
  return [
    {
      path: `${noun} inspect`,
      summary: `describe ${called}`,
      example: `nexus ${noun} inspect ${example}`,
      args: [arg],
      flags: [name],
      run: async (c) => (await import("./verbs/life.ts")).inspect(c),
    },
    {
      path: `${noun} start`,
      summary: `start ${many}`,
      example: `nexus ${noun} start ${example}`,
      args: [arg],
      rest: { name: "NAME", from: "names" },
      flags: [names],
      run: async (c) => (await import("./verbs/life.ts")).start(c),
    },
    {
      path: `${noun} stop`,
      summary: `stop ${many}`,
      example: `nexus ${noun} stop ${example} --grace 3`,
      args: [arg],
      rest: { name: "NAME", from: "names" },
      flags: [grace, names],
      run: async (c) => (await import("./verbs/life.ts")).stop(c),
    },
    {
      path: `${noun} restart`,
      summary: `stop and start ${many}`,
      example: `nexus ${noun} restart ${example}`,
      args: [arg],
      rest: { name: "NAME", from: "names" },
      flags: [grace, names],
      run: async (c) => (await import("./verbs/life.ts")).restart(c),
    },
    {
      path: `${noun} rm`,
      summary: `remove ${many}`,
      example: `nexus ${noun} rm ${example} --force`,
      args: [arg],
      rest: { name: "NAME", from: "names" },
      flags: [force, names],
      run: async (c) => (await import("./verbs/life.ts")).remove(c),
    },
    {
      path: `${noun} exec`,
      summary: `run a command in ${called}`,
      example: `nexus ${noun} exec ${example} ping -c 1 db`,
      args: [{ name: "NAME", complete: noun }],
      rest: { name: "CMD", from: "first-word" },
      flags: [
        { name: "interactive", short: "i", summary: "pass input on (by itself on a terminal)" },
        ...(noun === "vm" ? [] : terminalFlags),
        { name: "env", short: "e", value: "K=V", many: true, summary: "environment variable" },
        { name: "workdir", short: "w", value: "DIR", summary: "directory to run in" },
      ],
      run: async (c) => (await import("./verbs/exec.ts")).exec(c),
    },
    {
      path: `${noun} logs`,
      summary: noun === "vm" ? "print what came out of its serial console" : "print what a node's command wrote",
      example: `nexus ${noun} logs ${example} --tail 20 -f`,
      args: [arg],
      flags: [
        name,
        { name: "follow", short: "f", summary: "go on as more is written" },
        { name: "tail", short: "n", value: "LINES", summary: "only the last lines" },
      ],
      run: async (c) => (await import("./verbs/life.ts")).logs(c),
    },
  ];
}

const terminalFlags: readonly Flag[] = [
  { name: "tty", short: "t", summary: "give the command a terminal (by itself on a terminal)" },
  { name: "no-tty", short: "T", summary: "do not give it a terminal" },
];

export const vmCreate: Command = {
  path: "vm create",
  summary: "create a virtual machine and start it",
  example: "nexus vm create web --mem 512 --cpus 2 --network lan --publish 8080:80",
  args: [{ name: "NAME", orFlag: "name" }],
  flags: [
    { name: "name", value: "NAME", summary: "the same as NAME" },
    { name: "image", value: "REF|FILE|mini", complete: "image", summary: "what it boots (mini: built from Debian packages)" },
    { name: "mem", short: "m", value: "MIB", summary: "memory, in MiB or with a unit (512, 2G)" },
    { name: "cpus", value: "N", summary: "processors (1)" },
    { name: "disk", value: "SIZE", summary: "let the root disk grow to this size (20G)" },
    { name: "volume", short: "v", value: "VOLUME|FILE[:SIZE]", many: true, summary: "a further disk, made when it is not there" },
    ...guestNetworks,
    ...marks,
    { name: "queues", value: "N", summary: "queues of each network card (1)" },
    { name: "ssh-port", value: "PORT", summary: "host port of its SSH in user mode (the first free from 2222)" },
    { name: "machine", value: "q35|microvm", complete: ["q35", "microvm"], summary: "kind of machine (q35)" },
    { name: "uefi", summary: "boot by UEFI firmware" },
    { name: "accel", value: "auto|kvm|tcg", complete: ["auto", "kvm", "tcg"], summary: "hardware or emulation (auto)" },
    { name: "user", value: "USER", summary: "who gets the SSH keys, and sudo (the image's own user)" },
    { name: "ssh-key", value: "FILE", many: true, complete: "file", summary: "public keys that may log in too" },
    { name: "no-ssh-key", summary: "do not let your own key of Nexus in" },
    { name: "user-data", value: "FILE", complete: "file", summary: "for cloud-init, beside what Nexus asks of it" },
    { name: "provision", value: "FILE", many: true, complete: "file", summary: "script run in the guest when it is set up" },
    { name: "env", short: "e", value: "K=V", many: true, summary: "environment variable, of its scripts too" },
    { name: "restart", value: "POLICY", complete: policies, summary: "no, on-failure[:TIMES], always or unless-stopped" },
    { name: "hostname", value: "NAME", summary: "its host name (NAME)" },
    { name: "dns", value: "ADDRESS", many: true, summary: "resolver instead of the network's" },
    { name: "no-run", summary: "create it without starting it" },
  ],
  run: async (c) => (await import("./verbs/vm.ts")).create(c),
};

const deviceFlags: readonly Flag[] = [
  { name: "name", value: "NAME", complete: "vm", summary: "the same as NAME" },
  { name: "network", value: "NET[:ADDRESS]", many: true, complete: "network", summary: "a network, and an address of it if it matters" },
  { name: "volume", short: "v", value: "VOLUME|FILE[:SIZE]", many: true, summary: "a further disk, made when it is not there" },
];

export const vmDevices: readonly Command[] = [
  {
    path: "vm attach",
    summary: "give a virtual machine networks and disks, while it runs too",
    example: "nexus vm attach web --network lab --volume data:10G",
    args: [{ name: "NAME", complete: "vm", orFlag: "name" }],
    flags: [...deviceFlags, ...egressFlags],
    run: async (c) => (await import("./verbs/vm-devices.ts")).attach(c),
  },
  {
    path: "vm detach",
    summary: "take networks and disks away from a virtual machine; what is on a disk stays",
    example: "nexus vm detach web --network lab --volume data",
    args: [{ name: "NAME", complete: "vm", orFlag: "name" }],
    flags: deviceFlags,
    run: async (c) => (await import("./verbs/vm-devices.ts")).detach(c),
  },
];

export const vmConsole: Command = {
  path: "vm console",
  summary: "join its serial console; ~. on a line of its own leaves",
  example: "nexus vm console web",
  args: [{ name: "NAME", complete: "vm", orFlag: "name" }],
  flags: [{ name: "name", value: "NAME", complete: "vm", summary: "the same as NAME" }],
  run: async (c) => (await import("./verbs/vm-console.ts")).join(c),
};

/** Both `vm ssh` and, shorter, `ssh`. */
export const vmSsh: readonly Command[] = ["vm ssh", "ssh"].map((path) => ({
  path,
  summary: path === "ssh" ? "the same as vm ssh" : "log in to a virtual machine, or run a command there, by the host's ssh",
  example: `nexus ${path} web --user debian -- uptime`,
  args: [{ name: "NAME", complete: "vm", orFlag: "name" }],
  rest: { name: "CMD", from: "dashes" },
  flags: [
    { name: "name", value: "NAME", complete: "vm", summary: "the same as NAME" },
    { name: "user", short: "l", value: "USER", summary: "whom to log in as (its image's user, or root)" },
    { name: "identity", short: "i", value: "FILE", complete: "file", summary: "private key (your key of Nexus, then ssh's own choice)" },
    ...(path === "ssh" ? [composeFile] : []),
    { name: "wait", value: "TIME", summary: "how long its SSH server may take to answer (10s)" },
  ],
  run: async (c) => (await import("./verbs/vm-ssh.ts")).ssh(c),
}));
