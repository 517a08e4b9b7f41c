import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { VerbContext } from "../context.ts";
import { facts } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";

/** The version of this command, and of the daemon when one runs; none is started for the question. */
export async function version(c: VerbContext): Promise<void> {
  const own = packageVersion();
  const daemon = await daemonVersion(c);
  c.out.result({ version: own, node: process.version, daemon: daemon?.version ?? null }, () =>
    facts([
      ["nexus", own],
      ["nexusd", daemon === undefined ? "not running" : daemon.version],
      ["node", process.version],
    ]),
  );
}

async function daemonVersion(c: VerbContext): Promise<{ version: string } | undefined> {
  try {
    return await (await c.runningClient()).call("version", {}, { timeoutMs: 2000 });
  } catch (error) {
    if (error instanceof NexusError && error.code === "daemon-unreachable") return undefined;
    throw error;
  }
}

export function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
