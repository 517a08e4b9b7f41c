import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { linkLocalOf, type Mac } from "../../src/base/mac.ts";
import { ethernet, etherType, tcpSyn4, udp4, udp6 } from "./world/frames.ts";
import { counted, framesOf, startsWith, trySending } from "./world/spoofing.ts";
import { host, outside, published, setBridgeNetfilter, World } from "./world/topology.ts";
import { until } from "./world/until.ts";

describe("a guest sends only what it may", { timeout: 120_000 }, () => {
  let world: World;
  before(async () => {
    world = await World.make();
    await world.place("app").sniff("eth0");
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const bridgeNetfilter of [0, 1] as const) {
    test(`bridge-nf-call ${bridgeNetfilter}: forged frames are dropped, each by its rule, and honest ones pass`, async () => {
      setBridgeNetfilter(bridgeNetfilter);
      const ends = (guest: string) => ({ mac: macOf(world, guest), 4: world.address(guest, 4), 6: world.address(guest, 6) });
      const gateway = { 4: world.gateway("lan", 4), 6: world.gateway("lan", 6) };
      const frames = framesOf({ web: ends("web"), app: ends("app"), gateway });
      const wrong = await trySending(frames, world.place("web"), world.place("app"));
      assert.equal(wrong.length, 0, wrong.join("\n"));
    });
  }

  test("a network without IPv6 carries none between its guests", async () => {
    await world.place("old2").sniff("eth0");
    const [from, to] = [macOf(world, "old1"), macOf(world, "old2")];
    const six = ethernet({ from, to }, etherType.ipv6, udp6({ from: linkLocalOf(from), to: linkLocalOf(to) }, { from: 1, to: 2 }));
    const four = ethernet(
      { from, to },
      etherType.ipv4,
      udp4({ from: world.address("old1", 4), to: world.address("old2", 4) }, { from: 1, to: 2 }),
    );
    await world.place("old1").send("eth0", six, four);
    const seen: Uint8Array[] = [];
    await until("the IPv4 frame arrives", async () => {
      seen.push(...(await world.place("old2").sniffed("eth0")));
      return seen.some((f) => startsWith(f, four));
    });
    assert.equal(
      seen.some((f) => startsWith(f, six)),
      false,
    );
  });

  test("a loopback publish cannot be had by packets to 127.0.0.1, neither from outside nor from a guest", async () => {
    await world.place("app").sniff("eth0");
    await world.place("web").sniff("eth0");
    const ports = (from: number) => ({ from, to: published.loopback });
    const before = counted("inet", "guard", "loopback-from-guest");
    await world
      .place("app")
      .send(
        "eth0",
        ethernet(
          { from: macOf(world, "app"), to: world.network("lan").mac },
          etherType.ipv4,
          tcpSyn4({ from: world.address("app", 4), to: "127.0.0.1" }, ports(41001)),
        ),
      );
    assert.equal(counted("inet", "guard", "loopback-from-guest") - before, 1);

    const [link] = JSON.parse(execFileSync("ip", ["-j", "link", "show", "uplink"], { encoding: "utf8" })) as { address: string }[];
    const [theirs] = JSON.parse(execFileSync("ip", ["-n", "outside", "-j", "link", "show", "eth0"], { encoding: "utf8" })) as {
      address: string;
    }[];
    const mac = { from: theirs?.address ?? "", to: link?.address ?? "" };
    const outsideSyn = (to: string, port: number, from: number) =>
      ethernet(mac, etherType.ipv4, tcpSyn4({ from: outside[4], to }, { from, to: port }));
    await world
      .place("outside")
      .send("eth0", outsideSyn("127.0.0.1", published.loopback, 41002), outsideSyn(host[4], published.any, 41003));
    const seen: number[] = [];
    await until("the connection to the published port arrives", async () => {
      for (const frame of await world.place("web").sniffed("eth0"))
        if (frame[12] === 8 && frame[23] === 6) seen.push(Buffer.from(frame).readUInt16BE(34));
      return seen.includes(41003);
    });
    assert.equal(seen.includes(41001) || seen.includes(41002), false);
  });
});

function macOf(world: World, guest: string): Mac {
  return world.guest(guest).attachments[0]?.mac ?? assert.fail(guest);
}
