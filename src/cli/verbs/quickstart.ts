import { readFileSync } from "node:fs";
import type { VerbContext } from "../context.ts";
import { invocation } from "../quickstart/invocation.ts";
import { findProgram, searchPath } from "../quickstart/programs.ts";
import { checkRights } from "../quickstart/rights.ts";

/** The example from nothing to proved, or with --down back to nothing. */
export async function run(c: VerbContext): Promise<number> {
  const down = c.flags.on("down");
  const again = invocation(["quickstart", down ? "--down" : "--yes", ...(c.out.json ? ["--json"] : [])]);
  const status = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
  checkRights({ platform: process.platform, uid: c.io.uid, status, sudo: findProgram("sudo", searchPath(c.io.env)) !== undefined }, again);
  if (!down) return (await import("../quickstart/up.ts")).setUp(c);
  await (await import("../quickstart/down.ts")).takeDown(c);
  return 0;
}
