import { spawn } from "node:child_process";

export type StepResult = { name: string; ok: boolean; seconds: number; output: string };

/** Runs a program to its end and keeps what it wrote. A deadline ends it with its children, and says so. */
export async function runStep(
  name: string,
  [program, ...args]: readonly [string, ...string[]],
  options: { env?: NodeJS.ProcessEnv; deadlineMs?: number; onLine?: (line: string) => void } = {},
): Promise<StepResult> {
  const since = performance.now();
  // Its own process group, so that a deadline reaches what the program started as well.
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: options.env ?? process.env, detached: true });
  let output = "";
  let pending = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      output += text;
      const lines = (pending + text).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) options.onLine?.(line);
    });
  }
  const late = setTimeout(
    () => {
      output += `\n${name}: ended after ${options.deadlineMs} ms\n`;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    },
    options.deadlineMs ?? 2 ** 31 - 1,
  );
  const { promise, resolve } = Promise.withResolvers<boolean>();
  child.on("error", (error) => {
    output += `${error.message}\n`;
    resolve(false);
  });
  child.on("close", (code) => resolve(code === 0));
  const ok = await promise;
  clearTimeout(late);
  return { name, ok, seconds: (performance.now() - since) / 1000, output };
}
