import type { Command, Positional } from "./command.ts";

const name: Positional = { name: "NAME", complete: "facility" };

/** Workspaces of sandboxed commands. */
export const facilityCommands: readonly Command[] = [
  {
    path: "facility create",
    summary: "make a directory for sandboxed commands to work in",
    example: "nexus facility create work --clone https://example.org/project.git --size 2G",
    args: [{ name: "NAME" }],
    flags: [
      { name: "clone", value: "URL", summary: "begin with a git repository" },
      { name: "ref", value: "BRANCH|TAG|COMMIT", summary: "what of it to check out" },
      { name: "credential", value: "FILE|-", complete: "file", summary: "a token for the clone, or USER:PASSWORD; - is standard input" },
      { name: "size", value: "SIZE", summary: "the most its files may take (1G)" },
      { name: "label", value: "KEY=VALUE", many: true, summary: "words for you to find it by" },
    ],
    run: async (c) => (await import("./verbs/facility.ts")).create(c),
  },
  {
    path: "facility ls",
    summary: "list facilities",
    example: "nexus facility ls",
    run: async (c) => (await import("./verbs/facility.ts")).list(c),
  },
  {
    path: "facility inspect",
    summary: "describe a facility, and who has it",
    example: "nexus facility inspect work",
    args: [name],
    run: async (c) => (await import("./verbs/facility.ts")).inspect(c),
  },
  {
    path: "facility rm",
    summary: "remove facilities and what is in them",
    example: "nexus facility rm work",
    args: [name],
    rest: { name: "NAME", from: "names" },
    flags: [{ name: "force", short: "f", summary: "end the run that has it first" }],
    run: async (c) => (await import("./verbs/facility.ts")).remove(c),
  },
  {
    path: "facility diff",
    summary: "print what changed in a facility as a patch for git apply",
    example: "nexus facility diff work --stat",
    args: [name],
    flags: [
      { name: "since", value: "create|run", complete: ["create", "run"], summary: "what to compare with (create)" },
      { name: "stat", summary: "only the files, and their lines added and removed" },
      { name: "output", short: "o", value: "FILE", complete: "file", summary: "write the patch into a file" },
      { name: "limit", value: "SIZE", summary: "the most the patch may have (16M)" },
    ],
    run: async (c) => (await import("./verbs/facility-files.ts")).diff(c),
  },
  {
    path: "facility artifacts",
    summary: "copy files out of a facility",
    example: "nexus facility artifacts work 'dist/**' '*.log' --to out",
    args: [name],
    rest: { name: "GLOB", from: "names" },
    flags: [{ name: "to", value: "DIR", complete: "file", summary: "where to; made if absent" }],
    run: async (c) => (await import("./verbs/facility-files.ts")).artifacts(c),
  },
  {
    path: "facility unlock",
    summary: "take a facility from the run that has it",
    example: "nexus facility unlock work --force",
    args: [name],
    flags: [{ name: "force", short: "f", summary: "say that you mean it: the run is not ended" }],
    run: async (c) => (await import("./verbs/facility.ts")).unlock(c),
  },
];
