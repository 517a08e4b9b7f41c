import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import type { GuestAgent } from "./qga.ts";
import type { JsonObject } from "./qmp-lines.ts";

export type Ran = { code: number; stdout: Buffer; stderr: string };

/**
 * Runs a short script of ours by the guest's /bin/sh and waits for its end. Words of users are its positional parameters ($1, $2 …),
 * never part of its text. The agent keeps the output to the end, so it must be little.
 * @throws NexusError `timeout`; what the agent refused
 */
export async function runScript(agent: GuestAgent, script: string, words: readonly string[]): Promise<Ran> {
  const begun = (await agent.command("guest-exec", {
    path: "/bin/sh",
    arg: ["-c", script, "nexus-files", ...words],
    "capture-output": true,
  })) as JsonObject;
  const end = performance.now() + deadlineMs;
  for (let pause = shortestPauseMs; ; pause = Math.min(longestPauseMs, pause * 1.5)) {
    const status = (await agent.command("guest-exec-status", { pid: Number(begun["pid"]) }, { mostBytes })) as JsonObject;
    if (status["exited"] === true) {
      if (status["out-truncated"] === true) throw new NexusError("too-large", "the guest's answer is longer than its agent keeps");
      const output = (key: string) => Buffer.from(String(status[key] ?? ""), "base64");
      const code = typeof status["signal"] === "number" ? 128 + status["signal"] : Number(status["exitcode"] ?? 255);
      return { code, stdout: output("out-data"), stderr: output("err-data").toString("utf8").trim().slice(0, 2000) };
    }
    if (performance.now() > end) throw new NexusError("timeout", `the guest has not done it within ${deadlineMs / 1000} s`);
    await delay(pause);
  }
}

/** The names and kinds of some thousands of files, as base64 in JSON. */
const mostBytes = 4 * 1024 * 1024;
const deadlineMs = 60_000;
const shortestPauseMs = 5;
const longestPauseMs = 200;
