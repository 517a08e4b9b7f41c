import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../src/api/client.ts";
import type { Name } from "../../src/base/names.ts";
import { audit, type Surroundings } from "./audit.ts";
import type { Nexusd } from "./nexusd.ts";

/** One request that is cut short at ever later moments. */
export type Swept = {
  name: string;
  /** Brings the object to where the request begins, whatever became of the last attempt. */
  prepare: (client: Client, there: boolean) => Promise<unknown>;
  request: (client: Client) => Promise<unknown>;
};

export type SweepReport = { kills: number; unanswered: number; answered: number; there: number; faults: string[] };

/**
 * Kills the daemon after 0, step, 2 step … ms of the request, until the request is answered `enough` times before the kill;
 * starts it again each time and looks at everything. What was answered must be so; what was not is wholly there or not at all.
 */
export async function sweep(
  daemon: Nexusd,
  swept: Swept,
  {
    around,
    stepMs,
    enough = 3,
    wantedWhenAnswered,
  }: { around: Surroundings; stepMs: number; enough?: number; wantedWhenAnswered: boolean },
): Promise<SweepReport> {
  const report: SweepReport = { kills: 0, unanswered: 0, answered: 0, there: 0, faults: [] };
  daemon.named.add(swept.name);
  for (let at = 0; report.answered < enough && report.faults.length === 0; at += stepMs) {
    await swept.prepare(daemon.client, await isThere(daemon, swept.name));
    let answered = false;
    const asked = swept.request(daemon.client).then(
      () => (answered = true),
      () => {},
    );
    await pause(at);
    // What comes after the signal was sent is too late to count.
    const inTime = answered;
    await daemon.end("SIGKILL");
    await asked;
    report.kills++;
    report[answered ? "answered" : "unanswered"]++;
    await daemon.start();
    const there = await isThere(daemon, swept.name);
    if (there) report.there++;
    if ((inTime || answered) && there !== wantedWhenAnswered)
      report.faults.push(`after ${at.toFixed(1)} ms: the answer was given, and ${swept.name} is ${there ? "there" : "not there"}`);
    report.faults.push(...(await lasting(daemon, around)).map((fault) => `after ${at.toFixed(1)} ms: ${fault}`));
  }
  return report;
}

/** Faults that are there still after a while: the kernel takes links away in its own time. */
async function lasting(daemon: Nexusd, around: Surroundings): Promise<string[]> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const [networks, guests] = await Promise.all([daemon.client.call("network.list"), daemon.client.call("guest.list")]);
    const faults = await audit(daemon, { networks, guests }, around);
    if (faults.length === 0 || performance.now() > deadline) return faults;
    await delay(20);
  }
}

async function isThere(daemon: Nexusd, name: string): Promise<boolean> {
  return (await daemon.client.call("guest.list")).some((guest) => guest.name === (name as Name));
}

/** Timers know whole milliseconds only; the rest is waited for by looking at the clock between turns of the event loop. */
async function pause(ms: number): Promise<void> {
  const end = performance.now() + ms;
  if (ms > 3) await delay(ms - 2);
  while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
}
