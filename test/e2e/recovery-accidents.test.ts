import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as host from "../chaos/host.ts";
import { Nexusd } from "../chaos/nexusd.ts";
import { until } from "../kernel/world/until.ts";
import { Bed, runNexus } from "./recovery-bed.ts";

describe("accidents", { timeout: 240_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
    await made(
      ["network", "create", "lan", "--subnet", "10.61.0.0/24", "--ipv6"],
      ["network", "create", "side"],
      ["attachment", "create", "plain", "--network", "lan", "--network", "side", "--publish", "28381:81"],
      ["node", "create", "node", "--network", "lan", "--", "sleep", "100000"],
    );
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });
  const made = async (...commands: string[][]) => {
    for (const args of commands) {
      const { code, err } = await bed.nexus(...args);
      assert.equal(code, 0, `${args.join(" ")}: ${err}`);
    }
  };

  /** What somebody does, by its words; the daemon must notice by itself. */
  const breakages: [string, () => Promise<string[]>][] = [
    ["a bridge is deleted", async () => ["ip", "link", "del", "nx-lan"]],
    ["a bridge is taken down", async () => ["ip", "link", "set", "nx-lan", "down"]],
    ["a bridge loses its address", async () => ["ip", "addr", "del", "10.61.0.1/24", "dev", "nx-lan"]],
    ["the route to a network is deleted", async () => ["ip", "route", "del", "10.61.0.0/24", "dev", "nx-lan"]],
    ["the IPv6 routes to a network are deleted", async () => ["ip", "-6", "route", "flush", "dev", "nx-lan"]],
    ["a bridge is given another name", async () => ["ip", "link", "set", "nx-side", "name", "mine"]],
    ["a bridge's MTU is changed", async () => ["ip", "link", "set", "nx-side", "mtu", "1400"]],
    ["an attachment's link is deleted", async () => ["ip", "link", "del", await nicOf("plain")]],
    ["an attachment's link is given another name", async () => ["ip", "link", "set", await nicOf("plain"), "name", "mine"]],
    ["an attachment's link is taken down", async () => ["ip", "link", "set", await nicOf("plain"), "down"]],
    ["an attachment's link is taken off its bridge", async () => ["ip", "link", "set", await nicOf("plain"), "nomaster"]],
    ["a node's link is deleted", async () => ["ip", "link", "del", await nicOf("node")]],
    ["an attachment's namespace is deleted", async () => ["ip", "netns", "del", "nexus-plain"]],
    ["the daemon's socket is deleted", async () => ["rm", bed.daemon.places.socket]],
  ];
  const nicOf = async (name: string) => {
    const guests = await bed.client.call("guest.list");
    return guests.find((g) => g.name === name)?.attachments[0]?.hostInterface ?? "";
  };
  for (const [what, command] of breakages) {
    test(`${what}: it is put back within two seconds, and said`, async () => {
      const last = (await bed.daemon.eventsSince(0)).at(-1)?.id ?? 0;
      const [program = "", ...args] = await command();
      await host.sh(program, ...args);
      const since = performance.now();
      await until("it is told", async () => (await bed.daemon.eventsSince(last)).some((event) => event.kind === "repaired"), 5000);
      await bed.allIsWell();
      assert.ok(performance.now() - since < 2000, `it took ${Math.round(performance.now() - since)} ms`);
    });
  }

  test("a guest is refused where a foreign bridge has taken the name, until that is gone; nothing joins it", async () => {
    await host.sh("ip", "link", "del", "nx-side");
    await host.sh("ip", "link", "add", "nx-side", "type", "bridge");
    const { code, err } = await bed.nexus("node", "create", "lost", "--network", "side", "--", "sleep", "100000");
    assert.equal(code, 5, err);
    assert.match(err, /nx-side exists and is not ours/);
    assert.deepEqual(
      (await host.linksOf()).filter((link) => link.master === "nx-side"),
      [],
    );
    await host.sh("ip", "link", "del", "nx-side");
    await bed.allIsWell();
  });

  test("our tables cannot be flushed away while the daemon runs, or are back at once", async () => {
    await host.shTry("nft", "flush", "ruleset");
    await bed.allIsWell();
  });

  test("what is deleted while no daemon runs is put back at its start", async () => {
    await bed.daemon.end("SIGKILL");
    await host.sh("nft", "flush", "ruleset");
    await host.sh("ip", "link", "del", "nx-lan");
    await host.sh("ip", "netns", "del", "nexus-plain");
    await host.sh("umount", "/run/netns/nexus-node");
    await bed.daemon.start();
    await bed.allIsWell();
  });

  test("names are answered again after the bridge was deleted", async () => {
    await host.sh("ip", "link", "del", "nx-lan");
    await bed.allIsWell();
    const { out } = await bed.nexus("node", "exec", "node", "--", "nslookup", "plain.lan.nexus");
    assert.match(out, /10\.61\.0\.2/);
  });

  const endings: { restart: string; command: string; runsAgain: boolean }[] = [
    { restart: "no", command: "sleep 0.2; exit 3", runsAgain: false },
    { restart: "on-failure", command: "sleep 0.2; exit 0", runsAgain: false },
    { restart: "on-failure", command: "sleep 0.2; exit 3", runsAgain: true },
    { restart: "always", command: "sleep 0.2; exit 0", runsAgain: true },
    { restart: "unless-stopped", command: "sleep 0.2; exit 0", runsAgain: true },
  ];
  for (const { restart, command, runsAgain } of endings) {
    test(`a node with restart ${restart} whose command is "${command}" ${runsAgain ? "runs again" : "stays ended"}`, async () => {
      await made(["node", "create", "brief", "--network", "lan", "--restart", restart, "--", "sh", "-c", command]);
      if (runsAgain) await bed.nodeIs("brief", (n) => n.restarts >= 2);
      else {
        await bed.nodeIs("brief", (n) => n.state === "exited");
        await bed.client.call("reconcile");
        assert.equal((await bed.node("brief")).restarts, 0);
      }
      await made(["node", "stop", "brief", "-t", "0"]);
      const stopped = await bed.node("brief");
      assert.equal(stopped.state === "stopped" || !runsAgain, true, stopped.state);
      await made(["node", "rm", "brief"]);
      await bed.allIsWell();
    });
  }

  test("a node with restart on-failure:2 is given up after its second restart, and begins anew when it is started", async () => {
    await made(["node", "create", "brief", "--network", "lan", "--restart", "on-failure:2", "--", "sh", "-c", "exit 3"]);
    const isGivenUp = async () => (await bed.daemon.eventsSince(0)).filter(({ kind }) => kind === "node.given-up").length;
    for (const times of [1, 2]) {
      await until("it is given up", async () => (await isGivenUp()) === times);
      const given = await bed.node("brief");
      assert.deepEqual([given.state, given.restarts], ["exited", 2]);
      if (times === 1) await made(["node", "start", "brief"]);
    }
    await made(["node", "rm", "brief"]);
    await bed.allIsWell();
  });

  test("a node that ends at once again and again is started at growing distances", async () => {
    await made(["node", "create", "brief", "--network", "lan", "--restart", "always", "--", "false"]);
    await bed.nodeIs("brief", (n) => n.restarts >= 3);
    const delays = (await bed.daemon.eventsSince(0))
      .filter((e) => e.kind === "node.restarting")
      .slice(-3)
      .map((e) => Number(/in (\d+) ms/.exec(e.message)?.[1]));
    assert.ok((delays[0] ?? 0) < (delays[1] ?? 0) && (delays[1] ?? 0) < (delays[2] ?? 0), delays.join());
    await made(["node", "rm", "-f", "brief"]);
    await bed.allIsWell();
  });

  test("a node that cannot be started is told of as created and as removed", async () => {
    const last = (await bed.daemon.eventsSince(0)).at(-1)?.id ?? 0;
    const { code, err } = await bed.nexus("node", "create", "brief", "--network", "lan", "--", "/no/such/program");
    assert.equal(code, 1, err);
    const told = (await bed.daemon.eventsSince(last)).filter((event) => event.subject === "brief");
    assert.deepEqual(
      told.map((event) => event.kind),
      ["node.created", "node.removed"],
    );
    await bed.allIsWell();
  });

  test("a node killed from outside is exited with its signal", async () => {
    await made(["node", "create", "brief", "--network", "lan", "--", "sleep", "1000"]);
    const { pid } = await bed.node("brief");
    process.kill(pid ?? assert.fail("it has no process"), "SIGKILL");
    const exited = await bed.nodeIs("brief", (n) => n.state === "exited");
    assert.deepEqual([exited.exit?.code, exited.exit?.signal], [137, "SIGKILL"]);
    await made(["node", "rm", "brief"]);
    await bed.allIsWell();
  });

  test("a program on a network's DNS port is a problem of the network, until it is gone", async () => {
    await bed.daemon.end("SIGKILL");
    const holder = createSocket("udp4").bind(53, "0.0.0.0");
    await once(holder, "listening");
    await bed.daemon.start();
    await until("the problem is shown", async () =>
      /53/.test((await bed.client.call("network.get", { params: { name: "lan" } })).problem ?? ""),
    );
    holder.close();
    await bed.client.call("reconcile");
    await until("it is gone", async () => (await bed.client.call("network.get", { params: { name: "lan" } })).problem === undefined);
    await bed.allIsWell();
  });

  test("a second daemon on the state directory, in another network namespace, names the first", async () => {
    await host.sh("ip", "netns", "add", "other");
    const directory = mkdtempSync("/var/tmp/nexus-second-");
    const { stateDir } = bed.daemon.places;
    const { code, err } = await runNexus(
      ["daemon", "--state-dir", stateDir, "--run-dir", join(directory, "run"), "--socket", join(directory, "s")],
      {},
      "other",
    );
    rmSync(directory, { recursive: true });
    await host.sh("ip", "netns", "del", "other");
    assert.equal(code, 5, err);
    assert.match(err, new RegExp(`${stateDir}.*${bed.daemon.pid}|${bed.daemon.pid}.*${stateDir}`, "s"));
    await bed.allIsWell();
  });
});

describe("a state directory in trouble", { timeout: 120_000 }, () => {
  test("on a full disk every request is refused with what is missing, and nothing is half-made", async () => {
    const disk = mkdtempSync("/var/tmp/nexus-disk-");
    await host.sh("mount", "-t", "tmpfs", "-o", "size=16m", "none", disk);
    {
      await using bed = await Bed.make({ stateDir: join(disk, "state") });
      await bed.nexus("network", "create", "lan", "--subnet", "10.61.0.0/24");
      await bed.nexus("attachment", "create", "first", "--network", "lan");
      const ballast = join(disk, "ballast");
      fill(disk, ballast);
      // The log of the database has some room of its own.
      let spare = 0;
      while ((await bed.nexus("network", "create", `spare${spare}`)).code === 0) assert.ok(++spare < 100, "the disk is never full");
      let refusals = 0;
      for (const ask of [
        ["network", "create", "more"],
        ["attachment", "create", "second", "--network", "lan"],
        ["node", "create", "third", "--network", "lan", "--", "sleep", "1000"],
        ["network", "set", "lan", "--isolation", "guests"],
        ["attachment", "rm", "first"],
        ["network", "rm", "spare0"],
      ]) {
        const said = await bed.nexus(...ask);
        if (said.code !== 0) refusals++;
        if (said.code !== 0) assert.match(said.err, /ENOSPC \(No space left on device\)/, ask.join(" "));
        await bed.allIsWell();
      }
      assert.ok(refusals >= 3, `only ${refusals} of the requests were refused`);
      rmSync(ballast);
      for (const ask of [
        ["attachment", "create", "after", "--network", "lan"],
        ["network", "create", "afterwards"],
      ]) {
        const { code, err } = await bed.nexus(...ask);
        assert.equal(code, 0, err);
      }
      await bed.daemon.crashAndStart();
      await bed.allIsWell();
    }
    await host.sh("umount", disk);
    rmSync(disk, { recursive: true });
  });

  test("that cannot be read stops the start, says which file, and changes nothing", async () => {
    const daemon = await Nexusd.started();
    await daemon.end("SIGTERM");
    const file = join(daemon.places.stateDir, "nexus.db");
    truncateSync(file, 5000);
    const { code, err } = await runNexus([
      "daemon",
      "--state-dir",
      daemon.places.stateDir,
      "--run-dir",
      daemon.places.runDir,
      "--socket",
      daemon.places.socket,
    ]);
    assert.equal(code, 1, err);
    assert.match(err, new RegExp(file));
    await daemon[Symbol.asyncDispose]();
  });
});

function fill(disk: string, file: string): void {
  const { bsize, bavail } = statfsSync(disk);
  writeFileSync(file, Buffer.alloc(bsize * bavail));
}
