import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runStep } from "../../scripts/run-step.ts";
import { originName, ports } from "./place.ts";

/** Compared with this very version. It is no dependency of ours, not even for development: five packages and 19 MB. */
const sandboxRuntime = "@anthropic-ai/sandbox-runtime";
const sandboxRuntimeVersion = "0.0.83";
const cache = join(import.meta.dirname, "../../node_modules/.cache/nexus-bench");
export const srtDirectory = join(cache, "srt/node_modules", sandboxRuntime);

/** Fetches what is compared with, while there is still a network. What cannot be had is left out of the tables. */
export async function preparePeers(say: (line: string) => void): Promise<void> {
  if (!existsSync("/usr/bin/tinyproxy")) {
    say("installing tinyproxy-bin");
    await runStep("apt-get update", ["apt-get", "update", "-q"], { deadlineMs: 300_000 });
    await runStep("apt-get", ["apt-get", "install", "-y", "-q", "--no-install-recommends", "tinyproxy-bin"], { deadlineMs: 300_000 });
  }
  if (existsSync(srtDirectory)) return;
  say(`installing ${sandboxRuntime} ${sandboxRuntimeVersion}`);
  mkdirSync(join(cache, "srt"), { recursive: true });
  writeFileSync(join(cache, "srt/package.json"), `${JSON.stringify({ private: true })}\n`);
  const words = [
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--prefix",
    join(cache, "srt"),
    `${sandboxRuntime}@${sandboxRuntimeVersion}`,
  ];
  const done = await runStep("npm", ["npm", ...words], { deadlineMs: 120_000 });
  if (!done.ok) say(`no ${sandboxRuntime}: ${done.output.trim().split("\n").at(-1)}`);
}

export type ProxyPeer = { name: string; port: number; command: [string, ...string[]]; keepsAlive: boolean };

export function peers(directory: string): ProxyPeer[] {
  const found: ProxyPeer[] = [];
  if (existsSync("/usr/bin/tinyproxy")) {
    const config = join(directory, "tinyproxy.conf");
    const filter = join(directory, "filter");
    writeFileSync(filter, `^${originName.replaceAll(".", "\\.")}$\n`);
    writeFileSync(
      config,
      [
        `Port ${ports.tinyproxy}`,
        "Listen 127.0.0.1",
        "Timeout 600",
        `LogFile "${join(directory, "tinyproxy.log")}"`,
        "LogLevel Connect",
        "MaxClients 2000",
        "Allow 127.0.0.1",
        `Filter "${filter}"`,
        "FilterType ere",
        "FilterDefaultDeny Yes",
        "DisableViaHeader Yes",
        `ConnectPort ${ports.http}`,
        `ConnectPort ${ports.echo}`,
        "",
      ].join("\n"),
    );
    found.push({ name: "tinyproxy", port: ports.tinyproxy, command: ["/usr/bin/tinyproxy", "-d", "-c", config], keepsAlive: false });
  }
  if (existsSync(srtDirectory)) {
    const script = join(import.meta.dirname, "srt-serve.ts");
    found.push({ name: "sandbox-runtime", port: ports.srt, command: [process.execPath, script, srtDirectory], keepsAlive: true });
  }
  return found;
}
