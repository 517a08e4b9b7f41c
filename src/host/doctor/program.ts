import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The file a program's name means, or undefined. */
export function programPath(name: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return directories
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

export type Tried = { ok: true; said: string } | { ok: false; said: string };

/** Runs a program to its end and gives its words, whatever came of it. `as`: an ordinary user, when this process may choose. */
export function tryProgram(command: readonly [string, ...string[]], as?: { uid: number; gid: number }): Promise<Tried> {
  const [program, ...words] = command;
  return new Promise((resolve) => {
    execFile(program, words, { timeout: 10_000, killSignal: "SIGKILL", cwd: "/", ...as }, (error, stdout, stderr) => {
      const said = `${stdout}${stderr}`.trim().replaceAll(/\s*\n\s*/g, "; ");
      resolve(error === null ? { ok: true, said } : { ok: false, said: said || error.message });
    });
  });
}

/** `nobody`, for what must work without root. */
export function ordinaryUser(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
