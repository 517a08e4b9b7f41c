import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { HostResolvers, parseResolvConf } from "../../../src/services/dns/resolv-conf.ts";
import { parseUpstream, upstreamText } from "../../../src/services/dns/upstream.ts";

test("name servers are read in order, with zones, and everything else is passed over", () => {
  const text =
    "# comment\nsearch example.com\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n nameserver 9.9.9.9\nnameserver not-an-address\nnameserver\t2606:4700::1111 trailing\noptions edns0";
  assert.deepEqual(parseResolvConf(text).map(upstreamText), ["127.0.0.53#53", "fe80::1%eth0#53", "2606:4700::1111#53"]);
});

test("a list without name servers means the one on this machine", () => {
  assert.deepEqual(parseResolvConf("search x\n").map(upstreamText), ["127.0.0.1#53"]);
});

test("upstreams may carry a port", () => {
  for (const [text, meant] of [
    ["1.1.1.1", "1.1.1.1#53"],
    ["1.1.1.1#5353", "1.1.1.1#5353"],
    ["[::1]:5353", "::1#5353"],
  ] as const) {
    const upstream = parseUpstream(text);
    assert.equal(upstream === undefined ? undefined : upstreamText(upstream), meant);
  }
  for (const text of ["", "one.one.one.one", "1.1.1.1#0", "1.1.1.1#70000", "[::1]", "1.1.1"])
    assert.equal(parseUpstream(text), undefined, text);
});

test("the list is followed when the file is rewritten, replaced, or a link to it leads elsewhere", async () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-resolv-"));
  const [etc, run] = [join(directory, "etc"), join(directory, "run")];
  mkdirSync(etc);
  mkdirSync(run);
  writeFileSync(join(run, "stub"), "nameserver 10.0.0.1\n");
  writeFileSync(join(run, "full"), "nameserver 10.0.0.9\n");
  symlinkSync(join(run, "stub"), join(etc, "resolv.conf"));
  let changed = () => {};
  using host = new HostResolvers({ path: join(etc, "resolv.conf"), onChange: () => changed() });
  const seen = async (change: () => void, address: string) => {
    const done = new Promise<void>((resolve, reject) => {
      changed = () => {
        if (host.current[0]?.address === address) resolve();
      };
      setTimeout(() => reject(new Error(`${address} was not seen`)), 2000).unref();
    });
    change();
    await done;
  };
  try {
    assert.equal(host.current[0]?.address, "10.0.0.1");
    await seen(() => writeFileSync(join(run, "stub"), "nameserver 10.0.0.2\n"), "10.0.0.2");
    await seen(() => {
      writeFileSync(join(run, "stub.new"), "nameserver 10.0.0.3\n");
      renameSync(join(run, "stub.new"), join(run, "stub"));
    }, "10.0.0.3");
    await seen(() => {
      symlinkSync(join(run, "full"), join(etc, "resolv.new"));
      renameSync(join(etc, "resolv.new"), join(etc, "resolv.conf"));
    }, "10.0.0.9");
    await seen(() => writeFileSync(join(run, "full"), "nameserver 10.0.0.10\n"), "10.0.0.10");
    await seen(() => {
      rmSync(join(etc, "resolv.conf"));
      writeFileSync(join(etc, "resolv.conf"), "nameserver 10.0.0.11\n");
    }, "10.0.0.11");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
