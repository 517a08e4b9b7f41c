import assert from "node:assert/strict";
import { test } from "node:test";
import { type Examined, formatDiagnosis } from "../../src/spec/diagnosis.ts";

const good: Examined = { name: "namespaces", ok: "ok", needed: true, detail: "network namespaces can be made" };
const doubtful: Examined = { name: "tap", ok: "warn", needed: false, detail: "no taps", remedy: "modprobe tun" };
const broken: Examined = { name: "net-admin", ok: "fail", needed: true, detail: "may not", remedy: "run as root" };
const partly: Examined = { name: "podman", ok: "fail", needed: false, detail: "not installed", remedy: "apt-get install podman" };
const unmade: Examined = { name: "nf-tables", ok: "skip", needed: true, detail: "needs a network namespace" };
const rule = "─".repeat(50);

test("every check is one line with its sign, its remedy follows below, and a summary ends it", () => {
  assert.equal(
    formatDiagnosis(reportOf(good, doubtful, broken, partly, unmade)),
    [
      "nexusd doctor",
      rule,
      "  ✓ namespaces                network namespaces can be made",
      "  ⚠ tap                       no taps",
      "                              → modprobe tun",
      "  ✗ net-admin                 may not",
      "                              → run as root",
      "  ✗ podman                    not installed",
      "                              → apt-get install podman",
      "  ─ nf-tables                 needs a network namespace",
      rule,
      "  Some checks failed.",
      "  Needed and broken: net-admin.",
      "  Broken, needed for a part only: podman.",
      "  Worth a look: tap.",
      "",
    ].join("\n"),
  );
});

test("a host where nothing needed is broken is said to be fit, warnings or not", () => {
  assert.match(formatDiagnosis(reportOf(good, unmade)), /\n {2}All checks passed\. Nexus can work here\.\n$/);
  assert.match(formatDiagnosis(reportOf(good, doubtful)), /No check failed\. Nexus can work here\.\n {2}Worth a look: tap\.\n$/);
  assert.match(formatDiagnosis(reportOf(good, doubtful, partly)), /Some checks failed\. Nexus can work here\.\n/);
  assert.doesNotMatch(formatDiagnosis(reportOf(broken)), /can work here/);
});

test("what --fix did is told before what is left to do", () => {
  const text = formatDiagnosis(reportOf({ ...doubtful, fixed: "loaded tun" }));
  assert.match(text, /fixed: loaded tun\n\s+→ modprobe tun/);
});

function reportOf(...checks: Examined[]): { ok: boolean; checks: Examined[] } {
  return { ok: !checks.some((check) => check.needed && check.ok === "fail"), checks };
}
