import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** PATH with the directories of system programs, which a plain user's lacks. */
export function searchPath(env: Readonly<Record<string, string | undefined>>): string {
  return [env["PATH"] ?? "", "/usr/local/sbin", "/usr/sbin", "/sbin"].filter((part) => part !== "").join(":");
}

/** The file a program's name means, or undefined. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(":")
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

export type Ran = { code: number; stdout: string; stderr: string };

export type RunOptions = { path: string; timeoutMs?: number };

/** Runs a program to its end; whatever it says and however it ends is an answer. A program that is not there ends with 127, one killed at its deadline with 124. */
export function runProgram([program, ...args]: readonly [string, ...string[]], { path, timeoutMs = 3000 }: RunOptions): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const file = findProgram(program, path);
  if (file === undefined) return Promise.resolve({ code: 127, stdout: "", stderr: `${program} is not installed` });
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: path, LC_ALL: "C" },
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (text: string) => (said[stream] += text));
  child.on("error", (error) => resolve({ code: 126, stdout: "", stderr: error.message }));
  child.on("close", (code) => resolve({ code: code ?? 124, ...said }));
  return promise;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
