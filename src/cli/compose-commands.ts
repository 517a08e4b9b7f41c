import type { Command, Flag } from "./command.ts";

/** `logs` has it without `-f`, which follows there as in `vm logs`. */
const longFile: Flag = {
  name: "file",
  value: "FILE",
  many: true,
  complete: "file",
  summary: "compose file; further ones are put over it",
};
export const composeFile: Flag = { ...longFile, short: "f" };
const projectName: Flag = { name: "project-name", short: "p", value: "NAME", summary: "instead of the file's name or the directory's" };
const profile: Flag = { name: "profile", value: "NAME", many: true, summary: "also the guests of this profile (or NEXUS_PROFILES)" };
const common: readonly Flag[] = [composeFile, projectName];
const grace: Flag = { name: "grace", short: "t", value: "TIME", summary: "time to end by itself before it is killed (10s)" };
const services = { name: "SERVICE", from: "names", complete: "service" } as const;
const guests = { ...services, complete: "project-guest" } as const;

/** A project's guests and networks, from the compose file of this directory. */
export const composeCommands: readonly Command[] = [
  {
    path: "up",
    summary: "make and start what the compose file describes",
    example: "nexus up --wait",
    rest: services,
    flags: [
      ...common,
      profile,
      { name: "wait", summary: "until every guest is healthy, or answers, and every sandbox has succeeded" },
      { name: "wait-timeout", value: "TIME", summary: "how long it may take at most, for each guest (5m)" },
      { name: "dry-run", summary: "say what would be done, and do nothing" },
      { name: "remove-orphans", summary: "remove guests that are gone from the file" },
      { name: "detach", short: "d", summary: "as always: guests run in the background" },
    ],
    run: async (c) => (await import("./compose/up.ts")).up(c),
  },
  {
    path: "down",
    summary: "remove what up made; volumes stay",
    example: "nexus down",
    flags: [...common, { name: "volumes", short: "v", summary: "remove the project's volumes too, with all that is in them" }],
    run: async (c) => (await import("./compose/down.ts")).down(c),
  },
  {
    path: "ps",
    summary: "list the guests and sandboxes of this project",
    example: "nexus ps",
    rest: services,
    flags: common,
    run: async (c) => (await import("./verbs/compose.ts")).ps(c),
  },
  {
    path: "start",
    summary: "start guests of this project",
    example: "nexus start web",
    rest: guests,
    flags: common,
    run: async (c) => (await import("./verbs/compose.ts")).start(c),
  },
  {
    path: "stop",
    summary: "stop guests of this project",
    example: "nexus stop web",
    rest: guests,
    flags: [...common, grace],
    run: async (c) => (await import("./verbs/compose.ts")).stop(c),
  },
  {
    path: "restart",
    summary: "stop and start guests of this project",
    example: "nexus restart web",
    rest: guests,
    flags: [...common, grace],
    run: async (c) => (await import("./verbs/compose.ts")).restart(c),
  },
  {
    path: "logs",
    summary: "print what guests and sandboxes wrote, each line under its name",
    example: "nexus logs --tail 20 -f",
    rest: services,
    flags: [
      longFile,
      projectName,
      { name: "follow", short: "f", summary: "go on as more is written" },
      { name: "tail", short: "n", value: "LINES", summary: "only the last lines of each" },
    ],
    run: async (c) => (await import("./verbs/compose.ts")).logs(c),
  },
  {
    path: "exec",
    summary: "run a command in a guest, of this project or any",
    example: "nexus exec web ls /",
    args: [{ name: "NAME", complete: "guest" }],
    rest: { name: "CMD", from: "first-word" },
    flags: [
      ...common,
      { name: "interactive", short: "i", summary: "pass input on (by itself on a terminal)" },
      { name: "tty", short: "t", summary: "give the command a terminal (by itself on a terminal, in nodes)" },
      { name: "no-tty", short: "T", summary: "do not give it a terminal" },
      { name: "env", short: "e", value: "K=V", many: true, summary: "environment variable" },
      { name: "workdir", short: "w", value: "DIR", summary: "directory to run in" },
    ],
    run: async (c) => (await import("./verbs/exec.ts")).exec(c),
  },
  {
    path: "console",
    summary: "join the serial console of a virtual machine; ~. on a line of its own leaves",
    example: "nexus console web",
    args: [{ name: "NAME", complete: "vm" }],
    flags: common,
    run: async (c) => (await import("./verbs/vm-console.ts")).join(c),
  },
  {
    path: "inspect",
    summary: "describe a guest, of this project or any, or a sandbox of it",
    example: "nexus inspect web",
    args: [{ name: "NAME", complete: "guest" }],
    flags: common,
    run: async (c) => (await import("./verbs/compose.ts")).inspect(c),
  },
  {
    path: "pull",
    summary: "fetch the images of this project",
    example: "nexus pull",
    rest: guests,
    flags: [...common, profile],
    run: async (c) => (await import("./verbs/compose.ts")).pull(c),
  },
  {
    path: "compose config",
    summary: "print the compose file as it is understood",
    example: "nexus compose config",
    flags: [...common, profile],
    run: async (c) => (await import("./verbs/compose.ts")).config(c),
  },
];
