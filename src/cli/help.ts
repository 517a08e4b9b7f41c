import { type Command, type Flag, globalFlags } from "./command.ts";
import { columns } from "./tables.ts";

/** Help for a command, for the verbs of a noun, or for everything, as far as `path` selects. */
export function helpText(path: string, commands: readonly Command[]): string {
  const shown = commands.filter((c) => c.hidden !== true);
  const exact = shown.find((c) => c.path === path);
  const below = shown.filter((c) => c.path.startsWith(`${path} `));
  if (exact !== undefined) return commandHelp(exact, below);
  return path === "" || below.length === 0 ? overview(shown) : nounHelp(path, below);
}

export function usageLine(command: Command): string {
  const words = [`nexus ${command.path}`];
  for (const arg of command.args ?? []) words.push(arg.optional === true ? `[${arg.name}]` : arg.name);
  if ((command.flags ?? []).length > 0) words.push("[FLAGS]");
  if (command.rest !== undefined) words.push(command.rest.from === "dashes" ? `[-- ${command.rest.name}...]` : `[${command.rest.name}...]`);
  return words.join(" ");
}

function commandHelp(command: Command, below: Command[]): string {
  const parts = [`${sentence(command.summary)}\n\nUsage:   ${usageLine(command)}\nExample: ${command.example}\n`];
  if ((command.flags ?? []).length > 0) parts.push(`Flags:\n${flagLines(command.flags ?? [])}`);
  if (below.length > 0) parts.push(`Commands:\n${commandLines(below)}`);
  parts.push(`Everywhere:\n${flagLines(globalFlags)}`);
  return parts.join("\n");
}

function nounHelp(path: string, below: Command[]): string {
  return `Usage: nexus ${path} COMMAND\n\n${commandLines(below)}\nnexus ${path} COMMAND --help says more.\n`;
}

function overview(shown: Command[]): string {
  return [
    "Networks for virtual machines, containers and sandboxes on one Linux host.\n",
    "Usage: nexus COMMAND [ARGUMENTS] [FLAGS]\n",
    commandLines(shown),
    `Everywhere:\n${flagLines(globalFlags)}`,
    "nexus COMMAND --help says more, with an example.\n",
  ].join("\n");
}

function commandLines(list: readonly Command[]): string {
  return columns(list.map((c) => [`  ${c.path}`, c.summary]));
}

function flagLines(flags: readonly Flag[]): string {
  return columns(
    flags.map((f) => {
      const short = f.short === undefined ? "    " : `-${f.short}, `;
      const value = f.value === undefined ? "" : ` ${f.value}`;
      return [`  ${short}--${f.name}${value}`, `${f.summary}${f.many === true ? "; may be repeated" : ""}`];
    }),
  );
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}.`;
}
