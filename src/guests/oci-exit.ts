import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { memoryEvents } from "../kernel/cgroups.ts";
import type { GuestExit } from "../spec/views.ts";
import { watchDirectory } from "./directory-changes.ts";
import { lastLines } from "./guest-log.ts";
import { handOverMs, type Launch } from "./oci-launch.ts";
import { findInit, readPid } from "./oci-process.ts";
import { readExit, supervisorPid } from "./supervisor.ts";

type Ended = Pick<Launch, "layout" | "cgroups" | "cgroup">;

/**
 * How a guest ended that no longer runs. Waits, up to five seconds, for the runtime to hand over the exit status; 255 when
 * nobody is left who could (runtime and supervisor were killed). Seen once, it is kept: the same answer after a reboot.
 * Undefined when it has not ended: it runs, or is still being started.
 */
export async function exitOf(run: Ended): Promise<GuestExit | undefined> {
  const known = recall(run.layout.ended);
  if (known !== undefined) return known;
  using changes = watchDirectory(run.layout.directory);
  const end = performance.now() + handOverMs;
  while (readExit(run.layout) === undefined && supervisorPid(run.layout) !== undefined && performance.now() < end) {
    if (findInit(run.layout, run.cgroup) !== undefined) return undefined;
    await changes.next(20);
  }
  // A start that takes its time has no process yet and no status: it has not ended.
  if (readExit(run.layout) === undefined && supervisorPid(run.layout) !== undefined && readPid(run.layout.pid) === undefined)
    return undefined;
  const { code, at } = readExit(run.layout) ?? { code: lostStatus, at: new Date().toISOString() };
  const signal = signalOf(code);
  const exit: GuestExit = {
    code,
    ...(signal === undefined ? {} : { signal }),
    oomKilled: wasOomKilled(run, code),
    at,
    lastLines: lastLines(run.layout.log, 50),
  };
  writeFileSync(`${run.layout.ended}.new`, JSON.stringify(exit), { mode: 0o600 });
  renameSync(`${run.layout.ended}.new`, run.layout.ended);
  return exit;
}

const lostStatus = 255;

/** 128 + n is how shells and runtimes say "ended by signal n". */
function signalOf(code: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
}

/**
 * Where the kernel counts kills for the group and those below (v2), that count decides. On v1 the count goes with the
 * container's own group, so it is: ended by SIGKILL, not ours, and its memory had come to the limit.
 */
function wasOomKilled({ layout, cgroups, cgroup }: Ended, code: number): boolean {
  const events = memoryEvents(cgroups, cgroup);
  if (events.oomKills > 0) return code !== 0;
  return cgroups.legacy.has("memory") && code === 128 + constants.signals.SIGKILL && events.limitReached && !existsSync(layout.killed);
}

function recall(file: string): GuestExit | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as GuestExit;
  } catch {
    return undefined;
  }
}
