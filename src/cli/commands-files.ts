import type { Command } from "./command.ts";
import { composeFile } from "./compose-commands.ts";

/** Commands about what is inside guests of any kind. */
export const fileCommands: readonly Command[] = [
  {
    path: "cp",
    summary: "copy files and directories into and out of guests; - is a pipe",
    example: "nexus cp web:/etc/hosts ./hosts",
    args: [
      { name: "SRC", complete: "file" },
      { name: "DST", complete: "file" },
    ],
    flags: [composeFile],
    run: async (c) => (await import("./verbs/cp.ts")).cp(c),
  },
];
