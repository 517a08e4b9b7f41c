import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { VerbContext } from "../context.ts";
import { facts } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";

/** The version of this command, and of the daemon when one runs; none is started for the question. */
export async function version(c: VerbContext): Promise<void> {
  const own = packageVersion();
  const daemon = await daemonVersion(c);
  const known = typeof daemon === "string" ? { daemon } : { daemon: null, problem: daemon.toBody() };
  c.out.result({ version: own, node: process.version, ...known }, () =>
    facts([
      ["nexus", own],
      ["nexusd", typeof daemon === "string" ? daemon : daemon.code === "daemon-unreachable" ? "not running" : daemon.message],
      ["node", process.version],
    ]),
  );
  if (typeof daemon !== "string" && daemon.code === "not-permitted") c.out.note(`  ${daemon.hint ?? ""}`);
}

/** Or why there is none to be had. */
async function daemonVersion(c: VerbContext): Promise<string | NexusError> {
  try {
    return (await (await c.runningClient()).call("version", {}, { timeoutMs: 2000 })).version;
  } catch (error) {
    if (error instanceof NexusError && (error.code === "daemon-unreachable" || error.code === "not-permitted")) return error;
    throw error;
  }
}

export function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
