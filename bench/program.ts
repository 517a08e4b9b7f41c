import { spawnSync } from "node:child_process";

/** Runs a program to its end with text on stdin; gives its stdout. @throws Error with its words when it fails or takes longer than a minute */
export function runOrThrow(program: string, args: readonly string[], input = "", env: Record<string, string> = {}): string {
  const done = spawnSync(program, args, { input, encoding: "utf8", env: { ...process.env, ...env }, timeout: 60_000, maxBuffer: 64 << 20 });
  if (done.error !== undefined) throw new Error(`${program} did not run`, { cause: done.error });
  if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: exit ${done.status}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** One `ip` command per line; the whole is one process (ip -batch). */
export function ip(lines: readonly string[], netns?: string): void {
  runOrThrow("ip", [...(netns === undefined ? [] : ["-n", netns]), "-batch", "-"], `${lines.join("\n")}\n`);
}
