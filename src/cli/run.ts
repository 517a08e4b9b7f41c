import { commands } from "./commands.ts";
import { type Io, makeContext } from "./context.ts";
import { printError } from "./output.ts";
import { type HelpWanted, parseCommandLine, type Parsed } from "./parse.ts";
import { inWordsOf } from "./request-words.ts";
import { systemError } from "./system-error.ts";
import { errorCatalogue, NexusError } from "../base/errors.ts";

/** Runs one command line and gives its exit code. Never throws. */
export async function runCommandLine(words: readonly string[], io: Io): Promise<number> {
  let json = words.includes("--json");
  let parsed: Parsed | HelpWanted | undefined;
  try {
    parsed = parseCommandLine(words, commands);
    json = parsed.flags.has("json");
    if (parsed.kind === "help") return await help(parsed.path, parsed.asked, io);
    using context = makeContext(parsed, io);
    return (await parsed.command.run(context)) ?? 0;
  } catch (error) {
    const said = !json && parsed?.kind === "command" ? inWordsOf(parsed.command, error) : error;
    const known = said instanceof NexusError ? said : (systemError(said, io) ?? defect(said));
    printError(io, known, json);
    return errorCatalogue[known.code].exit;
  }
}

async function help(path: string, asked: boolean, io: Io): Promise<number> {
  const { helpText } = await import("./help.ts");
  (asked ? io.stdout : io.stderr).write(helpText(path, commands));
  return asked ? 0 : errorCatalogue.usage.exit;
}

function defect(error: unknown): NexusError {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new NexusError("internal", `a defect in Nexus\n${stack}`, { cause: error });
}
