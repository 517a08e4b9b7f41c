import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const checkout = join(import.meta.dirname, "../..");

/** What a program said; its exit code must be the one expected. Processors may be emulated, so it has minutes. */
export function run([program, ...args]: [string, ...string[]], code = 0): string {
  const path = `${checkout}:${process.env["PATH"] ?? ""}`;
  const done = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, PATH: path }, timeout: 400_000, cwd: "/" });
  assert.equal(done.status, code, `${program} ${args.join(" ")}: ${done.stdout}${done.stderr}${String(done.error ?? "")}`);
  return done.stdout.trim();
}

/** Installs one of the example units as somebody who read its first lines would. */
export function installUnit(example: string, to: string): void {
  const text = readFileSync(join(checkout, "examples/systemd", example), "utf8");
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, text.replace("/opt/nexus/", `${checkout}/`));
}

export function requireSystemd(): void {
  assert.ok(existsSync("/run/systemd/system"), "this tier is for hosts with systemd as init: scripts/systemd-host.ts makes one");
  assert.ok(existsSync("/sys/fs/cgroup/cgroup.controllers"), "this tier is for hosts with cgroup v2 alone");
}

/** A file of a group; `max 100000` and the like come as they are. */
export function groupFile(group: string, name: string): string {
  return readFileSync(join("/sys/fs/cgroup", group, name), "utf8").trim();
}

/** More memory than it may have, in a shell without tools. */
export const memoryBomb = 'x=$(head -c 300000000 /dev/zero | tr "\\0" a)';
