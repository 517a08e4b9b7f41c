import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SpecError } from "../../src/base/errors.ts";
import { parseBody } from "../../src/spec/body.ts";
import { egressPolicy, parseEgressRule } from "../../src/spec/egress.ts";

function faults(policy: object): string {
  try {
    parseBody(egressPolicy, policy);
  } catch (error) {
    if (error instanceof SpecError) return error.message;
    throw error;
  }
  return "";
}

const allow = (...rules: string[]) => ({ mode: "allowlist", allow: rules });

describe("an egress policy", () => {
  it("reads every spelling of a rule into one", () => {
    const policy = parseBody(
      egressPolicy,
      allow("API.Example.com.:443", "*.example.com:8443", "git.example.com:443/tcp", "db.example.com:5432/tls"),
    );
    assert.deepEqual(
      policy.allow.map(({ text, subdomains, protocol }) => [text, subdomains, protocol]),
      [
        ["api.example.com:443", false, "tls"],
        ["*.example.com:8443", true, "tcp"],
        ["git.example.com:443/tcp", false, "tcp"],
        ["db.example.com:5432/tls", false, "tls"],
      ],
    );
    for (const rule of policy.allow) assert.deepEqual(parseEgressRule(rule.text), rule);
    assert.equal(
      parseBody(egressPolicy, allow("a.example:443/tls", "a.example:80/tcp"))
        .allow.map((rule) => rule.text)
        .join(),
      "a.example:443,a.example:80",
    );
  });

  it("allows nothing when its list is empty or missing", () => {
    assert.deepEqual(parseBody(egressPolicy, { mode: "allowlist" }), { mode: "allowlist", allow: [] });
    assert.deepEqual(parseBody(egressPolicy, { mode: "none" }), { mode: "none", allow: [] });
  });

  it("is refused with every fault at once, each at its place and with what would be right", () => {
    const found = faults(
      allow("example.com", "example.com:0", "ok.example:443", "*:443", "*.com:443", "localhost:80", "a.*.b.example:443"),
    );
    assert.deepEqual(found.split("\n"), [
      'allow[0]: "example.com" has no port; write example.com:443',
      'allow[1]: "example.com:0" has no port within 1-65535 after the ":"',
      'allow[3]: "*" alone is no rule; mode unrestricted allows every host',
      'allow[4]: "*.com:443" would allow a whole top level; name a domain below it',
      'allow[5]: "localhost:80" has no dot; write the full name of the host',
      'allow[6]: "a.*.b.example" has "*" elsewhere than at its beginning; only *.example.com is understood',
    ]);
  });

  it("takes no address, however it is spelled", () => {
    const spellings =
      "127.0.0.1:80 127.1:80 2130706433:80 0x7f000001:80 0x7f.0.0.1:80 0177.0.0.1:80 999.1.1.1:80 1.2.3.4.:80 *.1.2.3.4:80 *.127.1:80 [::1]:80 ::1:80 [::ffff:127.0.0.1]:80 [fe80::1%eth0]:80 2001:db8::1:443 [example.com]:443";
    for (const text of spellings.split(" ")) assert.match(faults(allow(text)), /is an address/, text);
  });

  it("takes nothing but ASCII, and no name that DNS could not have", () => {
    const label = "a".repeat(63);
    const long = `${label}.${label}.${label}.${"a".repeat(62)}`;
    for (const host of [
      "exämple.com",
      "example。com",
      "１２７.example",
      "ex\u00adample.com",
      "a..com",
      "example.com..",
      ".example.com",
      "-a.com",
      "a-.com",
      `${label}a.com`,
      long,
      "a b.com",
      "a\0.com",
      "a%2e.com",
      "user@a.com",
      "a.com#",
      "a\\.com",
      "http://a.com",
      "*.*.a.com",
      "*a.com",
    ])
      assert.notEqual(faults(allow(`${host}:443`)), "", host);
    assert.equal(faults(allow(`xn--exmple-cua.com:443`, "_dmarc.a_b.example:443", `${long.slice(1)}:443`)), "");
  });

  it("knows no suffix but /tcp and /tls, no port out of range, and no rule against itself", () => {
    assert.match(faults(allow("https://a.example/b")), /"https:\/\/a\.example\/b" is a URL; write the host and its port/);
    for (const text of [
      "a.example:443/udp",
      "a.example:443/",
      "a.example:65536",
      "a.example:080",
      "a.example:+80",
      "a.example:",
      "a.example:443:443",
    ])
      assert.notEqual(faults(allow(text)), "", text);
    assert.match(faults(allow("a.example:443", "A.example:443/tcp")), /allow\[1\]: "a.example:443\/tcp" contradicts "a.example:443"/);
    assert.match(faults({ mode: "unrestricted", allow: ["a.example:443"] }), /allow: has no effect in mode unrestricted/);
    assert.match(faults({ mode: "allow" }), /mode: must be "none", "allowlist" or "unrestricted"/);
    assert.match(faults({ mode: "none", allowed: [] }), /allowed: unknown key/);
  });
});
