import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { sh } from "../chaos/host.ts";
import { Place } from "../kernel/world/place.ts";
import { ip } from "../kernel/world/topology.ts";
import { until } from "../kernel/world/until.ts";
import { MachineBed } from "./machine-bed.ts";

describe("what a machine in user mode reaches under root's daemon", { timeout: 240_000 }, () => {
  let bed: MachineBed;
  let box = "";
  const asked: string[] = [];
  const stack = new AsyncDisposableStack();
  before(async () => {
    ip(["netns add outside", "link add uplink type veth peer name eth0 netns outside", "link set lo up"]);
    ip(["address add 198.51.100.1/24 dev uplink", "link set uplink up"]);
    ip(["link set lo up", "link set eth0 up", "address add 198.51.100.2/24 dev eth0"], "outside");
    const outside = stack.use(new Place("outside", "/run/netns/outside"));
    await outside.listen({ tcp: [80] });
    const host = stack.adopt(
      createServer((socket) => socket.on("error", () => undefined).end("the host\n")),
      (server) => void server.close(),
    );
    await once(host.listen(8765, "::"), "listening");
    const resolver = stack.adopt(createSocket("udp4"), (socket) => void socket.close());
    resolver.on("message", (bytes) => asked.push(bytes.toString("latin1")));
    await once(resolver.bind(53, "127.0.0.1"), "listening");
    writeFileSync("/run/resolv.conf", "nameserver 127.0.0.1\n");
    execFileSync("mount", ["--bind", "/run/resolv.conf", "/etc/resolv.conf"]);
    bed = stack.use(await MachineBed.make());
    await bed.must("network", "create", "lan", "--subnet", "10.74.0.0/24");
    const serving = "while :; do echo the box | nc -l -p 80; done";
    await bed.must("node", "create", "box", "--network", "lan", "--publish", "28081:80", "--", "sh", "-c", serving);
    box = (await bed.client.call("guest.get", { params: { name: "box" } })).attachments[0]?.addresses[0]?.split("/")[0] ?? assert.fail();
    await bed.must("vm", "create", "web", "--mem", "128", "--publish", "127.0.0.1:28080:80");
    await bed.ready("web");
    await until("it has an address", async () => (await bed.shell("web", "ip -4 addr")).out.includes("10.0.2.15"));
  });
  after(async () => {
    await stack.disposeAsync();
    ip(["netns delete outside"]);
  });

  const reaches = async (to: string, name = "web") => (await bed.shell(name, `nc -w 3 ${to} </dev/null`)).out;
  const fromHost = (to: string) => sh("sh", "-c", `nc -w 3 ${to} </dev/null || true`);
  const rejected = () => {
    const listed = execFileSync("nft", ["list", "table", "inet", "nexus_user_mode"], { encoding: "utf8" });
    return [...listed.matchAll(/counter packets (\d+)/g)].map((match) => Number(match[1]));
  };
  const tables = () => execFileSync("nft", ["list", "tables"], { encoding: "utf8" });

  test("the outside, but no service of the host, on loopback or its addresses, and no network of the host", async () => {
    const services = ["127.0.0.1 8765", "198.51.100.1 8765", "198.51.100.1 28081", `${box} 80`];
    for (const to of services) await until(`${to} is there`, async () => /the (host|box)/.test(await fromHost(to)));
    assert.match(await reaches("198.51.100.2 80"), /"by":"outside"/);
    for (const to of ["10.0.2.2 8765", "198.51.100.1 8765", "198.51.100.1 28081", "fec0::2 8765", `${box} 80`])
      assert.equal(await reaches(to), "", to);
    assert.ok(
      rejected().every((packets) => packets > 0),
      `${rejected().join()}: not by these rules`,
    );
  });

  test("names by the host's own resolver on loopback; and is reached through forwarded ports", async () => {
    await bed.shell("web", "timeout 5 nslookup it.example 10.0.2.3");
    assert.ok(
      asked.some((question) => question.includes("\u0002it\u0007example")),
      "the resolver was not asked",
    );
    await bed.shell("web", "mkdir -p /srv && echo welcome >/srv/index.html && httpd -h /srv -p 80");
    const get = async () => (await fetch("http://127.0.0.1:28080/", { signal: AbortSignal.timeout(10_000) })).text();
    assert.equal(await get(), "welcome\n");
    await bed.daemon.crashAndStart();
    assert.equal(await reaches("10.0.2.2 8765"), "", "after a crash of the daemon");
    assert.equal(await get(), "welcome\n");
    assert.deepEqual((await bed.client.call("reconcile")).steps, []);
  });

  test("also with a directory of the host, which virtiofsd carries", async () => {
    const { runsAs } = await bed.create({ name: "sharing", shares: [{ name: "src", source: bed.daemon.places.stateDir }] });
    assert.ok((runsAs?.uid ?? 0) > 0);
    await bed.ready("sharing");
    await until("it has an address", async () => (await bed.shell("sharing", "ip -4 addr")).out.includes("10.0.2.15"));
    assert.equal(await reaches("10.0.2.2 8765", "sharing"), "");
    await bed.must("vm", "rm", "sharing", "--force");
  });

  test("the rules go with the last such machine, also when no network is left", async () => {
    assert.match(await bed.must("vm", "inspect", "web"), /runs as: +user 2097152\d+ of the host/);
    await bed.must("node", "rm", "box", "--force");
    await bed.must("network", "rm", "lan");
    assert.equal(tables(), "table inet nexus_user_mode\n");
    assert.equal(await reaches("10.0.2.2 8765"), "");
    await bed.must("vm", "stop", "web", "--grace", "0");
    assert.equal(tables(), "");
    await bed.must("vm", "start", "web");
    assert.equal(tables(), "table inet nexus_user_mode\n");
    await bed.must("vm", "rm", "web", "--force");
    assert.equal(tables(), "");
    await bed.allIsWell();
  });
});
