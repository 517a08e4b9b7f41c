import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { linkIsThere, waitUntilGone } from "./links.ts";
import { Disproof } from "./patience.ts";
import { findProgram, runProgram } from "./programs.ts";

/** A throw-away machine beyond this host: a namespace behind a veth, on TEST-NET-2 (RFC 5737), made by `ip` and not by us. */
export type Outside = AsyncDisposable & {
  /** What it gets from a URL, or undefined when nothing comes back in time. */
  fetch(url: string, timeoutMs?: number): Promise<string | undefined>;
};

export const outside = {
  namespace: "outside-nexus-quickstart",
  link: "nxqs-outside",
  prefix: "198.51.100.0/24",
  host: "198.51.100.1",
  address: "198.51.100.2",
  port: 80,
} as const;

/** @throws Disproof when the addresses are in use, or `ip` refuses */
export async function openOutside(path: string): Promise<Outside> {
  await removeOutside(path);
  const taken = (await runProgram(["ip", "route", "show", "table", "all", "root", outside.prefix], { path })).stdout.trim();
  if (taken !== "") throw new Disproof(`${outside.prefix} is in use on this host: ${taken.split("\n")[0]}`);
  await using made = new AsyncDisposableStack();
  made.defer(async () => void (await removeOutside(path)));
  const { namespace, link } = outside;
  const ip = async (...args: string[]) => {
    const { code, stderr } = await runProgram(["ip", ...args], { path });
    if (code !== 0) throw new Disproof(`ip ${args.join(" ")}: ${stderr.trim() || `code ${code}`}`);
  };
  await ip("netns", "add", namespace);
  await ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  await ip("addr", "add", `${outside.host}/24`, "dev", link);
  await ip("link", "set", link, "up");
  await ip("-n", namespace, "link", "set", "lo", "up");
  await ip("-n", namespace, "addr", "add", `${outside.address}/24`, "dev", "eth0");
  await ip("-n", namespace, "link", "set", "eth0", "up");
  // It knows the way to every guest, so that only the policy can keep it out.
  await ip("-n", namespace, "route", "add", "default", "via", outside.host);
  const fetch = await startProgram(path, made);
  const kept = made.move();
  return { fetch, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Also what a run that was killed left behind; true when there was something. */
export async function removeOutside(path: string): Promise<boolean> {
  const there = existsSync(join("/run/netns", outside.namespace));
  if (there) await runProgram(["ip", "netns", "del", outside.namespace], { path });
  if (!there && !(await linkIsThere(outside.link, path))) return false;
  await waitUntilGone(outside.link, path);
  return true;
}

async function startProgram(path: string, made: AsyncDisposableStack): Promise<Outside["fetch"]> {
  const ip = findProgram("ip", path) ?? "ip";
  const program = join(import.meta.dirname, "outside-process.ts");
  const child = spawn(ip, ["netns", "exec", outside.namespace, process.execPath, program, outside.address, String(outside.port)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: path },
  });
  const ended = once(child, "close").catch(() => undefined);
  made.defer(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => (words += chunk.toString()));
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<{ ready?: true; body?: string }> => {
    const line = await lines.next();
    if (line.done === true) throw new Disproof(`the program outside ended: ${words.trim() || "without a word"}`);
    return JSON.parse(line.value) as { ready?: true; body?: string };
  };
  await next();
  return async (url, timeoutMs = 2000) => {
    child.stdin.write(`${JSON.stringify({ get: url, timeoutMs })}\n`);
    return (await next()).body;
  };
}
