import { after, before, beforeEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Port, parsePort } from "../../src/base/port.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { flushGuestFlows, flushPrefixFlows, flushPublishedFlows, listFlows } from "../../src/kernel/conntrack.ts";
import { NetlinkSocket } from "../../src/kernel/netlink-socket.ts";
import { ip, run } from "./iproute.ts";

describe("tracked connections", () => {
  let nf: NetlinkSocket;
  before(() => void (nf = NetlinkSocket.open("netfilter")));
  after(() => nf[Symbol.dispose]());

  beforeEach(() => {
    run("conntrack -F");
    load([
      ...["10.0.0.1", "10.0.0.2"].map(
        (client) => `-I -p udp -s ${client} -d 192.0.2.1 --sport 4000 --dport 53 --timeout 100 --dst-nat 10.77.0.2:5353`,
      ),
      "-I -p udp -s 10.0.0.3 -d 192.0.2.2 --sport 4000 --dport 53 --timeout 100 --dst-nat 10.77.0.3:5353",
      "-I -p udp -s 10.0.0.4 -d 192.0.2.1 --sport 4000 --dport 54 --timeout 100 --dst-nat 10.77.0.2:54",
      "-I -p tcp -s 10.0.0.5 -d 192.0.2.1 --sport 4000 --dport 53 --timeout 100 --state ESTABLISHED",
      "-I -p udp -s 10.77.0.2 -d 198.51.100.1 --sport 4000 --dport 123 --timeout 100 --src-nat 192.0.2.1",
      "-I -p icmp -s 10.0.0.6 -d 10.77.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 9 --timeout 100",
      "-I -p udp -s 2001:db8::5 -d fd00:77::1 --sport 4000 --dport 53 --timeout 100",
      "-I -p tcp -s fd00:77::2 -d 2001:db8::1 --sport 4000 --dport 443 --timeout 100 --state ESTABLISHED",
    ]);
  });

  test("are listed as `conntrack` made them, limited by the kernel", () => {
    assert.equal(listFlows(nf, { family: 4 }).length, 7);
    assert.deepEqual(
      listFlows(nf, { family: 4, original: { destination: ip("192.0.2.2") } }).map(({ protocol, original, reply }) => ({
        protocol,
        original,
        reply,
      })),
      [
        {
          protocol: 17,
          original: { source: "10.0.0.3", destination: "192.0.2.2", sourcePort: 4000, destinationPort: 53 },
          reply: { source: "10.77.0.3", destination: "10.0.0.3", sourcePort: 5353, destinationPort: 4000 },
        },
      ],
    );
    assert.equal(listFlows(nf, { family: 4, reply: { source: ip("10.77.0.2") } }).length, 4);
    assert.equal(listFlows(nf, { family: 6, transport: "tcp" }).length, 1);
    assert.deepEqual(
      listFlows(nf, { family: 6, original: { source: ip("fd00:77::2") } }).map((flow) => flow.original.destinationPort),
      [443],
    );
    assert.deepEqual(listFlows(nf, { family: 6, original: { source: ip("fd00:77::3") } }), []);
    assert.equal(listFlows(nf, { family: 4, transport: "udp", original: { destinationPort: 53 } }).length, 3);
  });

  test("of a published port go on every address and in both families, and nothing else does", () => {
    flushPublishedFlows(nf, { transport: "udp", port: port(53) });
    assert.deepEqual(left(), ["icmp 10.0.0.6", "tcp 10.0.0.5", "tcp fd00:77::2", "udp 10.0.0.4", "udp 10.77.0.2"]);
  });

  test("of a port published on one address go there only", () => {
    flushPublishedFlows(nf, { transport: "udp", port: port(53), address: ip("192.0.2.1") });
    assert.deepEqual(left(), [
      "icmp 10.0.0.6",
      "tcp 10.0.0.5",
      "tcp fd00:77::2",
      "udp 10.0.0.3",
      "udp 10.0.0.4",
      "udp 10.77.0.2",
      "udp 2001:db8::5",
    ]);
  });

  test("of a port published on one IPv6 address go there only", () => {
    flushPublishedFlows(nf, { transport: "udp", port: port(53), address: ip("fd00:77::9") });
    assert.equal(left().length, 9);
    flushPublishedFlows(nf, { transport: "udp", port: port(53), address: ip("fd00:77::1") });
    assert.deepEqual(
      left().filter((flow) => flow.includes(":")),
      ["tcp fd00:77::2"],
    );
    assert.equal(left().length, 8);
  });

  for (const portEnd of [54, 1000]) {
    test(`of the range 53-${portEnd} go`, () => {
      flushPublishedFlows(nf, { transport: "udp", port: port(53), portEnd: port(portEnd), address: ip("192.0.2.1") });
      const spared = ["icmp 10.0.0.6", "tcp 10.0.0.5", "tcp fd00:77::2", "udp 10.0.0.3", "udp 10.77.0.2", "udp 2001:db8::5"];
      // Port 123 of the guest's own traffic is not on the published address.
      assert.deepEqual(left(), spared);
    });
  }

  test("of a network's prefixes go, whichever side they are on and translated or not", () => {
    flushPrefixFlows(
      nf,
      [parsePrefix("10.77.0.0/24"), parsePrefix("fd00:77::/64")].filter((p) => typeof p === "string"),
    );
    assert.deepEqual(left(), ["tcp 10.0.0.5"]);
  });

  test("of single addresses go as those of a guest do", () => {
    flushPrefixFlows(
      nf,
      [parsePrefix("10.77.0.2/32"), parsePrefix("fd00:77::2/128")].filter((p) => typeof p === "string"),
    );
    assert.deepEqual(left(), ["tcp 10.0.0.5", "udp 10.0.0.3", "udp 2001:db8::5"]);
  });

  test("of a guest go: to it, from it, and those translated to it", () => {
    flushGuestFlows(nf, ip("10.77.0.2"));
    assert.deepEqual(left(), ["tcp 10.0.0.5", "tcp fd00:77::2", "udp 10.0.0.3", "udp 2001:db8::5"]);
    flushGuestFlows(nf, ip("fd00:77::2"));
    assert.deepEqual(left(), ["tcp 10.0.0.5", "udp 10.0.0.3", "udp 2001:db8::5"]);
    flushGuestFlows(nf, ip("10.77.0.2"));
  });

  test("4,000 among 8,000 go, port by port or by a range, while the event loop waits less than seconds", (context) => {
    const many = Array.from(
      { length: 8000 },
      (_, i) => `-I -p udp -s 10.1.${i >> 8}.${i & 255} -d 192.0.2.9 --sport 4000 --dport ${i % 2 === 0 ? 6000 : 6001} --timeout 100`,
    );
    for (const first of [6000, 5000]) {
      run("conntrack -F");
      load(many);
      const start = performance.now();
      flushPublishedFlows(nf, { transport: "udp", port: port(first), portEnd: port(6000) });
      const took = performance.now() - start;
      context.diagnostic(`ports ${first}-6000: ${took.toFixed(1)} ms`);
      assert.equal(listFlows(nf, { family: 4 }).length, 4000);
      assert.ok(took < 3000);
    }
  });
});

/** In one process: starting `conntrack` once per entry would take longer than everything else. */
function load(lines: readonly string[]): void {
  const directory = mkdtempSync(join(tmpdir(), "flows-"));
  const file = join(directory, "flows");
  writeFileSync(file, `${lines.join("\n")}\n`);
  run(`conntrack --load-file ${file}`);
  rmSync(directory, { recursive: true });
}

/** What `conntrack` still lists, as protocol and original source. */
function left(): string[] {
  const lines = `${run("conntrack -L -f ipv4")}${run("conntrack -L -f ipv6")}`.trim().split("\n");
  return lines.map((line) => `${line.split(" ")[0] ?? ""} ${/src=(\S+)/.exec(line)?.[1] ?? ""}`).toSorted();
}

function port(value: number): Port {
  return parsePort(value) ?? assert.fail();
}
