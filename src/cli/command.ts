import type { VerbContext } from "./context.ts";

/** What a name on the command line can be completed with. */
export type NameSource =
  | "network"
  | "node"
  | "vm"
  | "attachment"
  | "guest"
  | "image"
  | "volume"
  | "run"
  | "facility"
  | "setting"
  /** Of the compose file here: guests and sandboxes, or guests alone. */
  | "service"
  | "project-guest"
  | "file"
  | readonly string[];

export type Flag = {
  name: string;
  short?: string;
  /** What help calls the value; a flag without it is on or off. */
  value?: string;
  many?: true;
  complete?: NameSource;
  summary: string;
};

/** `orFlag`: a flag whose value may stand for it. */
export type Positional = { name: string; optional?: true; complete?: NameSource; orFlag?: string };

/** One verb, as data: parsing, help, usage errors and completion are all made from it. */
export type Command = {
  /** Words that select it: `network create`. */
  path: string;
  summary: string;
  example: string;
  args?: readonly Positional[];
  /** What follows the arguments: a command after `--` only, a command from the first word that is no flag, or more names among the flags. */
  rest?: { name: string; from: "dashes" | "first-word" | "names"; complete?: NameSource };
  flags?: readonly Flag[];
  /** Long flags may be written with one dash, as in `nexusd -config F`. */
  singleDash?: true;
  hidden?: true;
  /** Its module is loaded only when it runs, so that starting costs what one verb needs. */
  run: (context: VerbContext) => Promise<number | void>;
};

/** Flags every command takes. */
export const globalFlags: readonly Flag[] = [
  { name: "json", summary: "print one JSON document" },
  { name: "socket", value: "PATH", complete: "file", summary: "the daemon's socket (or NEXUS_SOCKET)" },
  { name: "no-start", summary: "do not start the daemon when it is not running" },
  { name: "help", short: "h", summary: "say how to use a command" },
];
