import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { text } from "node:stream/consumers";
import { until } from "../kernel/world/until.ts";
import { Bed } from "./recovery-bed.ts";

const port = 28280;
const crashes = 5;

describe("the daemon's end and return", { timeout: 180_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
    for (const args of [
      ["network", "create", "lan", "--subnet", "10.61.0.0/24"],
      ["node", "create", "echo", "--network", "lan", "--publish", `${port}:7`, "--", "nc", "-ll", "-p", "7", "-e", "cat"],
      ["attachment", "create", "plain", "--network", "lan"],
    ]) {
      const { code, err } = await bed.nexus(...args);
      assert.equal(code, 0, `${args.join(" ")}: ${err}`);
    }
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  test("guests' packets pass all the while: none of a ping 20 times a second is lost", async () => {
    const { attachments } = await bed.node("echo");
    const address = attachments[0]?.addresses[0]?.replace(/\/.*/, "") ?? "";
    const ping = spawn("ip", ["netns", "exec", "nexus-plain", "ping", "-n", "-i", "0.05", address]);
    const said = text(ping.stdout);
    for (let i = 0; i < crashes; i++) await bed.daemon.crashAndStart();
    ping.kill("SIGINT");
    await once(ping, "close");
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await said) ?? [];
    assert.ok(Number(sent) > 20, await said);
    assert.equal(received, sent, await said);
  });

  test("a connection to a published port stays open and carries on", async () => {
    const socket = await connected();
    let heard = "";
    socket.on("data", (chunk) => (heard += String(chunk)));
    let sent = "";
    const talk = async () => {
      sent += "x";
      socket.write("x");
      await until("the echo comes", () => heard === sent, 2000);
    };
    await talk();
    for (let i = 0; i < crashes; i++) {
      await bed.daemon.end("SIGKILL");
      await talk();
      await bed.daemon.start();
      await talk();
    }
    socket.destroy();
  });

  test("a reserved range is kept from guests, by a daemon that read it from its state too", async () => {
    const made = await bed.nexus("network", "create", "few", "--subnet", "10.62.0.0/29", "--reserved", "10.62.0.4/30");
    assert.equal(made.code, 0, made.err);
    for (const address of ["10.62.0.4", "10.62.0.6"]) {
      const { code, err } = await bed.nexus("attachment", "create", "late", "--network", `few:${address}`);
      assert.equal(code, 2);
      assert.match(err, /in the reserved range 10\.62\.0\.4\/30/);
      await bed.daemon.crashAndStart();
    }
    for (const [name, said] of [
      ["one", 0],
      ["two", 0],
      ["three", 5],
    ] as const)
      assert.equal((await bed.nexus("attachment", "create", name, "--network", "few")).code, said, name);
    const { code, err } = await bed.nexus("network", "rm", "few", "--force");
    assert.equal(code, 0, err);
  });

  test("a new connection finds its way while no daemon runs", async () => {
    await bed.daemon.end("SIGKILL");
    const socket = await connected();
    socket.destroy();
    await bed.daemon.start();
  });

  test("a node keeps its process, its addresses and its state", async () => {
    const before = await bed.node("echo");
    await bed.daemon.crashAndStart();
    const { pid, state, attachments, restarts } = await bed.node("echo");
    assert.deepEqual(
      { pid, state, attachments, restarts },
      { pid: before.pid, state: "running", attachments: before.attachments, restarts: 0 },
    );
  });

  test("a node that ends while no daemon runs is told to have ended, with its code", async () => {
    await bed.nexus("node", "create", "brief", "--network", "lan", "--", "sh", "-c", "sleep 0.5; exit 3");
    await bed.daemon.end("SIGKILL");
    await delay(800);
    await bed.daemon.start();
    const brief = await bed.nodeIs("brief", (n) => n.state === "exited");
    assert.equal(brief.exit?.code, 3);
    await bed.nexus("node", "rm", "brief");
    await bed.allIsWell();
  });

  test("SIGTERM in the middle of a creation: the daemon ends with 0, and the node is wholly there or not at all", async () => {
    for (const afterMs of [0, 5, 20, 60]) {
      const asked = bed.client
        .call("node.create", {
          query: {},
          body: { name: "late", command: ["sleep", "1000"], networks: [{ network: "lan" }] },
        })
        .then(
          () => "made",
          (error: unknown) => String(error),
        );
      await delay(afterMs);
      assert.equal(await bed.daemon.end("SIGTERM"), 0);
      const outcome = await asked;
      await bed.daemon.start();
      await bed.allIsWell();
      const there = (await bed.client.call("node.list")).find((n) => n.name === "late");
      if (outcome === "made") assert.equal(there?.state, "running");
      if (there !== undefined) await bed.client.call("node.remove", { params: { name: "late" }, query: { force: true } });
    }
    await bed.allIsWell();
  });

  test("SIGTERM while a node takes its time to stop does not wait for the node", async () => {
    await bed.nexus("node", "create", "slow", "--network", "lan", "--", "sleep", "1000");
    const asked = bed.client.call("node.stop", { params: { name: "slow" }, query: { grace: 60 } }).catch(() => {});
    await bed.nodeIs("slow", (n) => n.state === "stopping");
    const since = performance.now();
    assert.equal(await bed.daemon.end("SIGTERM"), 0);
    assert.ok(performance.now() - since < 10_000);
    await asked;
    await bed.daemon.start();
    await bed.nodeIs("slow", (n) => n.state === "stopped", 20_000);
    await bed.allIsWell();
  });
});

async function connected(): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect", { signal: AbortSignal.timeout(5000) });
  socket.on("error", () => {});
  return socket;
}
