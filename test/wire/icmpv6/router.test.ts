import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { WireError } from "../../../src/base/errors.ts";
import { checksum6, decodeIpv6, encodeIpv6 } from "../../../src/wire/icmpv6/ipv6.ts";
import { decodeRouterAdvert, decodeRouterSolicit, encodeRouterAdvert } from "../../../src/wire/icmpv6/router.ts";
import { dnsmasqAdvert, kernelSolicit } from "./golden.ts";

describe("router discovery", () => {
  test("reads what the kernel of a host asks", () => {
    assert.deepEqual(decodeRouterSolicit(decodeIpv6(kernelSolicit)), {
      source: "fe80::ff:fe00:101",
      options: [{ kind: "source-mac", mac: "02:00:00:00:01:01" }],
    });
  });

  test("reads what dnsmasq was told to advertise", () => {
    assert.deepEqual(decodeRouterAdvert(decodeIpv6(dnsmasqAdvert)), {
      hopLimit: 64,
      managed: true,
      other: true,
      lifetimeSeconds: 1800,
      reachableMs: 0,
      retransmitMs: 0,
      options: [
        { kind: "prefix", prefix: "fd00:77::/64", onLink: true, autonomous: false, validSeconds: 3600, preferredSeconds: 3600 },
        { kind: "mtu", mtuBytes: 1500 },
        { kind: "source-mac", mac: "02:00:00:00:00:01" },
        { kind: "dns-servers", servers: ["fd00:77::1"], lifetimeSeconds: 3600 },
        { kind: "dns-search", domains: ["lan.demo.nexus", "demo.nexus"], lifetimeSeconds: 3600 },
      ],
    });
  });

  test("writes dnsmasq's advertisement as dnsmasq does, checksum included", () => {
    const packet = decodeIpv6(dnsmasqAdvert);
    const ours = decodeIpv6(encodeRouterAdvert(decodeRouterAdvert(packet), packet));
    assert.equal(Buffer.from(ours.payload).toString("hex"), Buffer.from(packet.payload).toString("hex"));
    assert.deepEqual([ours.hopLimit, ours.source, ours.destination], [255, "fe80::ff:fe00:1", packet.destination]);
  });

  test("hears only neighbours, with right checksums, whole, and routers by their link-local address", () => {
    const packet = decodeIpv6(kernelSolicit);
    const advert = decodeIpv6(dnsmasqAdvert);
    for (const wrong of [
      { ...packet, hopLimit: 64 },
      { ...packet, nextHeader: 17 },
      { ...packet, payload: packet.payload.subarray(0, 7) },
      { ...packet, payload: Buffer.concat([packet.payload.subarray(0, 15), Buffer.of(9)]) },
      advert,
    ])
      assert.throws(() => decodeRouterSolicit(wrong), WireError);
    assert.throws(() => decodeRouterAdvert(packet), WireError);
    const anonymous = decodeIpv6(encodeIpv6({ ...packet, source: "::" as typeof packet.source }));
    const payload = Buffer.from(anonymous.payload);
    payload.writeUInt16BE(0, 2);
    payload.writeUInt16BE(checksum6({ ...anonymous, payload }), 2);
    assert.throws(() => decodeRouterSolicit({ ...anonymous, payload }), /names a MAC/);
    const global = decodeIpv6(
      encodeRouterAdvert(decodeRouterAdvert(advert), { source: "fd00::1" as typeof advert.source, destination: advert.destination }),
    );
    assert.throws(() => decodeRouterAdvert(global), /not link-local/);
  });
});
