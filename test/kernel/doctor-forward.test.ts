import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { beforeEach, test } from "node:test";
import { parsePrefix, type Prefix } from "../../src/base/prefix.ts";
import type { CheckResult, DoctorContext } from "../../src/host/doctor/report.ts";
import { runDoctor } from "../../src/host/doctor/run.ts";

beforeEach(() => void execFileSync("nft", ["flush", "ruleset"]));

test("a host whose firewalls let forwarded traffic pass is fine", async () => {
  nft("table ip other { chain forward { type filter hook forward priority 0; policy accept; tcp dport 25 drop\n }\n}");
  assert.equal((await examine()).ok, "ok");
});

test("a forward chain with the policy drop is named with the commands that open it", async () => {
  nft("table inet strict { chain wall { type filter hook forward priority 0; policy drop; }\n}");
  const check = await examine();
  assert.equal(check.ok, "fail");
  assert.match(check.detail, /chain wall of table inet strict, which has the policy drop/);
  assert.equal(
    check.remedy,
    "nft insert rule inet strict wall iifname nexus0 accept && nft insert rule inet strict wall oifname nexus0 accept",
  );
});

test("the named commands do open it", async () => {
  nft("table inet strict { chain wall { type filter hook forward priority 0; policy drop; }\n}");
  execFileSync("sh", ["-c", (await examine()).remedy ?? "false"]);
  assert.equal((await examine()).ok, "ok");
});

test("a chain that ends with a rule against everything is found though its policy is accept", async () => {
  nft(`table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority 10; policy accept;
      ct state established,related accept
      reject with icmpx admin-prohibited
    }
    }`);
  const check = await examine();
  assert.equal(check.ok, "fail");
  assert.match(check.detail, /firewalld: .*ends with reject/);
  assert.match(check.remedy ?? "", /firewall-cmd --permanent --zone=trusted --add-interface=nexus0/);
});

test("ufw is recognised by its chains", async () => {
  iptables("-N ufw-before-forward", "-A FORWARD -j ufw-before-forward", "-P FORWARD DROP");
  const check = await examine();
  assert.match(check.detail, /ufw: chain FORWARD of table ip filter/);
  assert.match(check.remedy ?? "", /ufw route allow in on nexus0/);
});

test("Docker's forward policy is opened by --fix for our bridges alone, once, and iptables still reads its table", async () => {
  iptables("-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP");
  const before = await examine();
  assert.equal(before.ok, "fail");
  assert.match(before.detail, /Docker/);
  assert.match(before.remedy ?? "", /iptables -I DOCKER-USER -i nexus0 -j ACCEPT.*nexus doctor --fix/);

  const fixed = await examine({ fix: true });
  assert.equal(fixed.ok, "ok");
  assert.match(fixed.fixed ?? "", /nexus0/);
  assert.equal((await examine({ fix: true })).fixed, undefined);
  const rules = execFileSync("iptables", ["-S", "DOCKER-USER"], { encoding: "utf8" });
  assert.deepEqual(rules.trim().split("\n"), [
    "-N DOCKER-USER",
    '-A DOCKER-USER -i nexus0 -m comment --comment "nexus: guests out" -j ACCEPT',
    '-A DOCKER-USER -o nexus0 -m comment --comment "nexus: guests in" -j ACCEPT',
  ]);
});

test("where DOCKER-USER returns at its end nothing is added behind it; the command that works is named", async () => {
  iptables("-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP");
  const check = await examine({ fix: true });
  assert.equal(check.ok, "fail");
  assert.equal(check.fixed, undefined);
  execFileSync("sh", ["-c", check.remedy ?? "false"]);
  assert.equal((await examine()).ok, "ok");
});

async function examine(options: { fix?: boolean } = {}): Promise<CheckResult> {
  const context: DoctorContext = {
    stateDirectory: "/nonexistent",
    socketPath: "/run/none.sock",
    networks: [{ name: "default", bridge: "nexus0", prefixes: [parsePrefix("10.0.42.0/24") as Prefix] }],
    probeRuntimes: async () => [],
  };
  const report = await runDoctor(context, { ...options, only: ["forward-policy"] });
  const [check] = report.checks;
  assert.ok(check);
  return check;
}

function nft(text: string): void {
  execFileSync("nft", ["-f", "-"], { input: text });
}

function iptables(...lines: string[]): void {
  for (const line of lines) execFileSync("iptables", line.split(" "));
}
