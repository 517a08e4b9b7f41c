import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { HealthSpec } from "../../src/spec/health.ts";
import { Bed } from "./recovery-bed.ts";

type Probe = HealthSpec["probe"];

describe("the health of nodes", () => {
  let bed: Bed;

  before(async () => {
    bed = await Bed.make();
    assert.equal((await bed.nexus("network", "create", "lan")).code, 0);
  });
  after(async () => await bed[Symbol.asyncDispose]());

  const create = async (name: string, probe: unknown, more: Partial<HealthSpec> = {}, command = ["sleep", "1000"]) => {
    const health = { probe: probe as Probe, intervalMs: 200, timeoutMs: 1000, retries: 2, ...more };
    await bed.client.call("node.create", { body: { name, command, networks: [{ network: "lan" }], health } });
  };
  const becomes = (name: string, state: string) => bed.nodeIs(name, (node) => node.health?.state === state, 15_000);

  test("follows a command: healthy, unhealthy with its words, healthy again; told as events", async () => {
    await create("web", { kind: "shell", script: "test -e /tmp/ok || { echo no file >&2; exit 3; }" });
    const sick = await becomes("web", "unhealthy");
    assert.ok((sick.health?.failures ?? 0) >= 2);
    assert.equal(sick.health?.said, "status 3: no file");
    await bed.nexus("node", "exec", "web", "--", "touch", "/tmp/ok");
    const well = await becomes("web", "healthy");
    assert.deepEqual(well.health, { state: "healthy", failures: 0 });
    await bed.nexus("node", "exec", "web", "--", "rm", "/tmp/ok");
    await becomes("web", "unhealthy");
    const kinds = (await bed.nexus("events", "--json")).out;
    assert.match(kinds, /node\.unhealthy[^]*node\.healthy[^]*node\.unhealthy/);
    assert.match((await bed.nexus("node", "ls")).out, /^web +running \S+ \(unhealthy\)/m);
  });

  test("failures while it starts do not count", async () => {
    await create("slow", { kind: "exec", command: ["false"] }, { startPeriodMs: 60_000 });
    const { health } = await bed.nodeIs("slow", (node) => node.health?.said !== undefined);
    assert.deepEqual([health?.state, health?.failures], ["starting", 0]);
  });

  test("knocks from outside, by TCP and by HTTP", async () => {
    const serve = "mkdir /tmp/www; echo hi >/tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www";
    await create("tcp", { kind: "tcp", port: 80 }, {}, ["sh", "-c", serve]);
    await create("http", { kind: "http", port: 80, path: "/" }, {}, ["sh", "-c", serve]);
    await create("lost", { kind: "http", port: 80, path: "/nothing" }, {}, ["sh", "-c", serve]);
    await becomes("tcp", "healthy");
    await becomes("http", "healthy");
    assert.equal((await becomes("lost", "unhealthy")).health?.said, "HTTP status 404");
  });

  test("a command that hangs is cut off and leaves nothing; one that is not there is a failure", async () => {
    await create("hung", { kind: "exec", command: ["sleep", "4321"] }, { timeoutMs: 300 });
    assert.equal((await becomes("hung", "unhealthy")).health?.said, "no answer within 300 ms");
    await bed.nexus("node", "stop", "hung", "--grace", "0");
    await create("absent", { kind: "exec", command: ["/no/such/program"] });
    assert.match((await becomes("absent", "unhealthy")).health?.said ?? "", /127|no such|not found/i);
  });

  test("is looked after by the next daemon, and forgotten with the node", async () => {
    await bed.nexus("node", "exec", "web", "--", "touch", "/tmp/ok");
    await bed.daemon.end("SIGKILL");
    await bed.daemon.start();
    await becomes("web", "healthy");
    await bed.nexus("node", "stop", "web", "--grace", "0");
    assert.equal((await bed.node("web")).health, undefined);
  });
});
