import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { mountPoints, namespaces, processesWith, sh } from "../chaos/host.ts";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";

/** Processes of this file's commands are known by it, also those that get away from their parents. */
const mark = 600_000 + (process.pid % 10_000) * 10;
let next = 0;
/** Three processes that heed no signal that asks, two of them in sessions of their own. */
const stubborn = () => {
  const [a, b, c] = [`${mark}.${next++}`, `${mark}.${next++}`, `${mark}.${next++}`];
  return `trap '' TERM HUP INT; setsid sleep ${a} & (setsid sh -c 'trap "" TERM HUP; sleep ${b} & wait' &); sleep ${c}; wait`;
};
/** Forks whenever it can. */
const bomb = `bomb() { bomb | bomb & }; while :; do bomb; done 2>/dev/null # sleep ${mark}`;
const sleeping = () => [...processesWith(`sleep ${mark}`).values()].filter((line) => line.startsWith("sleep")).length;

const kinds = [
  ["host", "host"],
  ["trusted", "oci"],
  ["trusted", "podman"],
  ["untrusted", "bubblewrap"],
  ["untrusted", "qemu"],
] as const;

describe("a daemon that is killed", { timeout: 240_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    for (const pid of processesWith(`sleep ${mark}`).keys()) process.kill(pid, "SIGKILL");
  });

  const start = async (profile: string, driver: string, command = ["sh", "-c", stubborn()]): Promise<string> => {
    const limits = ["--timeout", "1h", "--pids", "60", "--detach"];
    const words = ["--profile", profile, "--driver", driver, ...limits, "--", ...command];
    const { code, out, err } = await bed.nexus("run", ...words);
    assert.equal(code, 0, err);
    return out.trim();
  };
  /** Commands, the programs that hold them, and a virtual machine, which is known by its run. */
  const alive = (ids: readonly string[]) => [...processesWith(`sleep ${mark}`), ...ids.flatMap((id) => [...processesWith(`guest=${id}`)])];

  test("takes every run along within two seconds, whatever holds it; each is lost, and nothing of it stays on the host", async () => {
    const around = { mounts: mountPoints(), named: [...namespaces().keys()] };
    const ids: string[] = [];
    for (const [profile, driver] of kinds) ids.push(await start(profile, driver));
    await until("all of it runs", () => sleeping() === 3 * (kinds.length - 1) && processesWith(`guest=${ids.at(-1)}`).size === 1);
    ids.push(await start("host", "host", ["bash", "-c", bomb]));
    await until("it has forked as far as it can", () => processesWith(bomb).size > 30);
    const { pid } = bed.daemon;
    const areOurs = (path: string) => [...ids, `/bubblewrap/${pid}-`].some((part) => path.includes(part));
    assert.ok(groups(areOurs).length > 0);
    await bed.daemon.end("SIGKILL");
    const since = performance.now();
    await until("nothing of it runs", () => alive(ids).length === 0, 10_000).catch(() => assert.deepEqual(alive(ids), []));
    const took = performance.now() - since;
    assert.ok(took < 2000, `it took ${Math.round(took)} ms`);

    await bed.daemon.start();
    const listed = (await bed.nexus("run", "ls")).out;
    for (const id of ids) assert.match(listed, new RegExp(`^${id} +lost`, "m"));
    for (const id of ids) assert.match((await bed.nexus("run", "inspect", id)).out, /nexusd died|daemon-died/);
    const left = () => ({ groups: groups(areOurs), mounts: mountPoints(), named: [...namespaces().keys()] });
    const wanted = { groups: [], ...around };
    await until("nothing of it is left", () => isDeepStrictEqual(left(), wanted)).catch(() => assert.deepEqual(left(), wanted));
    const containers = await sh("podman", "ps", "--all", "--format", "{{.Names}}");
    for (const id of ids) assert.ok(!containers.includes(id), containers);
    await until("nobody waits for the end of a run any more", () => ids.every((id) => processesWith(id).size === 0));
  });

  test("leaves no container half made", async () => {
    for (const ms of [60, 120, 180, 240, 300]) {
      const body = { profile: "trusted", driver: "podman", command: ["sh", "-c", stubborn()] as [string, ...string[]] } as const;
      const started = bed.client.call("run.create", { body }).catch(() => undefined);
      await delay(ms);
      await bed.daemon.crashAndStart();
      await started;
    }
    const views = await bed.client.call("run.list", { query: {} });
    const ids = views.filter(({ state }) => state === "lost").map(({ id }) => id);
    assert.ok(ids.length > 0);
    await until("nothing of it runs", () => alive(ids).length === 0);
    let containers = "";
    const look = async () => (containers = await sh("podman", "ps", "--all", "--format", "{{.Names}}"));
    const gone = async () => await look().then((names) => !ids.some((id) => names.includes(id)));
    await until("podman has none of them", gone, 60_000).catch(() => assert.fail(containers));
    await until("no group of theirs is left", () => groups((path) => ids.some((id) => path.includes(id))).length === 0);
  });

  test("whoever takes away what waits for the daemon's end has the run ended", async () => {
    const id = await start("host", "host");
    await until("all of it runs", () => sleeping() === 3);
    const [waits] =
      processesWith("nexus-run-end")
        .entries()
        .find(([, line]) => line.includes(id)) ?? [];
    process.kill(waits ?? assert.fail("nobody waits for the daemon's end"), "SIGKILL");
    const view = await bed.client.call("run.get", { params: { id }, query: { wait: 10 } });
    assert.deepEqual([view.state, alive([id])], ["failed", []]);
  });
});

/** Groups of runs in every tree, those below others too. Other daemons on this host have theirs in the same place. */
function groups(areOurs: (path: string) => boolean): string[] {
  return readdirSync("/sys/fs/cgroup").flatMap((tree) => {
    const top = `/sys/fs/cgroup/${tree}/nexus-runs`;
    if (!existsSync(top)) return [];
    const below = readdirSync(top, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
    return below.map((entry) => join(entry.parentPath, entry.name)).filter(areOurs);
  });
}
