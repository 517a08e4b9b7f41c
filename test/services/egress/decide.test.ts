import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalName, type HostName } from "../../../src/base/host-name.ts";
import { parseIp } from "../../../src/base/ip.ts";
import { isFault } from "../../../src/base/names.ts";
import { parsePort, type Port } from "../../../src/base/port.ts";
import { judgeAddress, judgeName } from "../../../src/services/egress/decide.ts";
import { egressPolicy } from "../../../src/spec/egress.ts";

const name = (text: string): HostName => {
  const found = canonicalName(text);
  return isFault(found) ? assert.fail(found.fault) : found;
};
const port = (n: number): Port => parsePort(n) ?? assert.fail();
const policy = (...allow: string[]) => egressPolicy.parse({ mode: "allowlist", allow });

const hosts = ["a.example", "b.example", "x.a.example", "y.x.a.example", "a.example.org", "ba.example", "example.com"];
const rule = fc
  .tuple(fc.constantFrom(...hosts), fc.boolean(), fc.constantFrom(80, 443, 8443))
  .map(([host, below, number]) => `${below ? "*." : ""}${host}:${number}`);

/** What the rule says, read as a user would: by splitting names into labels. */
function fits(text: string, host: string, number: number): boolean {
  const [pattern = "", rulePort] = text.split(":");
  if (Number(rulePort) !== number) return false;
  if (!pattern.startsWith("*.")) return pattern === host;
  const [wanted, given] = [pattern.slice(2).split(".").toReversed(), host.split(".").toReversed()];
  return given.length > wanted.length && wanted.every((label, i) => given[i] === label);
}

test("a name is allowed exactly when a rule fits it and its port", () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), fc.constantFrom(...hosts), fc.constantFrom(80, 443, 22), (rules, host, number) => {
      const decision = judgeName(policy(...rules), name(host), port(number));
      assert.equal(
        decision.verdict === "allow",
        rules.some((text) => fits(text, host, number)),
        JSON.stringify(decision),
      );
      if (decision.verdict === "allow") assert.ok(fits(decision.rule.replace(/\/.*/, ""), host, number));
      else
        assert.equal(
          decision.reason === "PORT_NOT_ALLOWED",
          rules.some((text) => fits(text.replace(/:\d+/, `:${number}`), host, number)),
        );
    }),
    { numRuns: 1000 },
  );
});

test("a rule for one name changes no verdict on another", () => {
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      rule,
      fc.constantFrom(...hosts),
      fc.constantFrom(80, 443),
      (rules, added, host, number) => {
        if (fits(added, host, number)) return;
        const verdict = (list: string[]) => judgeName(policy(...list), name(host), port(number)).verdict;
        assert.equal(verdict([...rules, added]), verdict(rules));
      },
    ),
    { numRuns: 1000 },
  );
});

test("the rule for the very name decides before the one for the domain, and the nearer domain before the wider", () => {
  const list = policy("*.example:443/tcp".replace("*.example", "*.a.example"), "x.a.example:443", "*.x.a.example:443");
  const protocol = (host: string) => {
    const decision = judgeName(list, name(host), port(443));
    return decision.verdict === "allow" ? `${decision.rule} ${decision.protocol}` : decision.reason;
  };
  assert.equal(protocol("x.a.example"), "x.a.example:443 tls");
  assert.equal(protocol("y.x.a.example"), "*.x.a.example:443 tls");
  assert.equal(protocol("z.a.example"), "*.a.example:443/tcp tcp");
});

test("no address of a special range is good, and others are unless they are the host's own", () => {
  const own = new Set([parseIp("93.184.216.1")]);
  const judge = (text: string) => judgeAddress(parseIp(text) ?? assert.fail(text), { has: (address) => own.has(address) });
  assert.deepEqual(judge("127.0.0.1"), { verdict: "deny", reason: "DNS_DENIED", detail: "127.0.0.1 is loopback" });
  assert.deepEqual(judge("93.184.216.1"), { verdict: "deny", reason: "DNS_DENIED", detail: "93.184.216.1 is this host's own" });
  assert.equal(judge("93.184.216.2").verdict, "allow");
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      const [a = 0, b = 0] = text.split(".").map(Number);
      const inside =
        a === 0 ||
        a === 10 ||
        a === 127 ||
        a >= 224 ||
        (a === 192 && b === 168) ||
        (a === 172 && b >= 16 && b < 32) ||
        (a === 169 && b === 254) ||
        (a === 100 && b >= 64 && b < 128);
      if (inside) assert.equal(judge(text).verdict, "deny");
    }),
    { numRuns: 1000 },
  );
});
