import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { HostName } from "../../src/base/host-name.ts";
import { type Port, parsePort } from "../../src/base/port.ts";
import { EgressRules, restricts } from "../../src/plan/egress.ts";
import { attachmentElements, networkElements } from "../../src/plan/firewall/elements.ts";
import { judgeName } from "../../src/services/egress/decide.ts";
import { egressPolicy } from "../../src/spec/egress.ts";
import { type EgressWish, egressWish } from "../../src/spec/egress-wish.ts";
import { networkSpec } from "../../src/spec/network.ts";
import { attachment, network } from "./sample.ts";

const list = (...allow: string[]): EgressWish => egressWish.parse({ mode: "allowlist", allow });

describe("what egress policies leave open", () => {
  test("is what both have, by name and port", () => {
    const rules = new EgressRules([
      list("*.a.example:443", "a.example:80", "*.a.example:80", "b.a.example:22"),
      list("b.a.example:22", "*.a.example:443"),
    ]);
    assert.deepEqual(rules.ports("b.a.example"), [22, 443]);
    assert.deepEqual(rules.ports("c.b.a.example"), [443]);
    assert.deepEqual(rules.ports("a.example"), []);
    assert.deepEqual(rules.ports("xa.example"), []);
  });

  test("is nothing by none and by an empty list, and unrestricted says nothing", () => {
    for (const wish of [{ mode: "none" as const, allow: [] }, list()]) {
      assert.ok(restricts(wish));
      assert.deepEqual(new EgressRules([wish, list("a.example:1")]).ports("a.example"), []);
    }
    assert.equal(new EgressRules([{ mode: "unrestricted", allow: [] }, undefined]).restricted, false);
    assert.deepEqual(new EgressRules([undefined, list("a.example:1")]).ports("a.example"), [1]);
  });

  test("is what the judge of the proxy allows, name by name", () => {
    const name = fc.array(fc.constantFrom("a", "b", "example"), { minLength: 2, maxLength: 4 }).map((labels) => labels.join("."));
    const port = fc.constantFrom(22, 443);
    const rule = fc.tuple(fc.boolean(), name, port).map(([below, host, n]) => `${below ? "*." : ""}${host}:${n}`);
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 6 }), name, port, (allow, asked, n) => {
        const judged = judgeName(egressPolicy.parse({ mode: "allowlist", allow }), asked as HostName, parsePort(n) as Port);
        assert.equal(new EgressRules([list(...allow)]).ports(asked).includes(n as Port), judged.verdict === "allow");
      }),
    );
  });
});

describe("an egress policy in a spec", () => {
  test("is kept in the one form of its rules, and unrestricted is none", () => {
    const spec = networkSpec.parse({ name: "lan", egress: { mode: "allowlist", allow: ["API.Example.COM:443/tls", "*.x.example:80"] } });
    assert.deepEqual(spec.egress, { mode: "allowlist", allow: ["api.example.com:443", "*.x.example:80"] });
    assert.deepEqual(networkSpec.parse(spec), spec, "reading it again changes nothing");
    assert.equal(networkSpec.parse({ name: "lan", egress: { mode: "unrestricted" } }).egress, undefined);
  });

  test("marks the network's bridge, or the one guest's addresses", () => {
    const sets = (items: { set: string; element: { key: unknown[] } }[]) =>
      items.filter(({ set }) => set.startsWith("egress")).map(({ set, element }) => `${set} ${element.key.join(" ")}`);
    const lan = network(1, "lan", { subnets: ["10.7.0.0/24", "fd00:7::/64"], egress: { mode: "none" } });
    assert.deepEqual(sets(networkElements(lan, [lan])), [`egress ${lan.bridge}`]);
    const web = attachment("web", lan);
    assert.deepEqual(sets(attachmentElements(web)), []);
    const [own, link] = sets(attachmentElements({ ...web, egress: list("a.example:443") })).slice(1);
    assert.deepEqual(sets(attachmentElements({ ...web, egress: list() }))[0], "egress4 10.7.0.10");
    assert.equal(own, "egress6 fd00:7::a");
    assert.match(link ?? "", /^egress6 fe80::/);
  });
});
