import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckResult, DoctorReport } from "../../src/host/doctor/report.ts";
import { doctorExitCode, formatReport } from "../../src/host/doctor-format.ts";

const good: CheckResult = { name: "namespaces", ok: "ok", needed: true, detail: "network namespaces can be made" };
const doubtful: CheckResult = { name: "tap", ok: "warn", needed: false, detail: "no taps", remedy: "modprobe tun" };
const broken: CheckResult = { name: "net-admin", ok: "fail", needed: true, detail: "may not", remedy: "run as root" };
const unmade: CheckResult = { name: "nf-tables", ok: "skip", needed: true, detail: "needs a network namespace" };

test("every check is one line with its sign, its remedy follows below", () => {
  assert.equal(
    formatReport(reportOf(good, doubtful, broken, unmade)),
    [
      "✓ namespaces  network namespaces can be made",
      "! tap         no taps",
      "              → modprobe tun",
      "✗ net-admin   may not",
      "              → run as root",
      "─ nf-tables   needs a network namespace",
      "",
      "1 of 4 checks passed, 1 warning, 1 could not be made. Needed and broken: net-admin.",
      "",
    ].join("\n"),
  );
});

test("a host where nothing needed is broken is said to be fit, warnings or not", () => {
  assert.match(formatReport(reportOf(good)), /1 of 1 checks passed\. Nexus can work here\.\n$/);
  assert.match(formatReport(reportOf(good, doubtful, doubtful)), /2 warnings\. Nexus can work here\.\n$/);
});

test("what --fix did is told before what is left to do", () => {
  const text = formatReport(reportOf({ ...doubtful, fixed: "loaded tun" }));
  assert.match(text, /fixed: loaded tun\n\s+→ modprobe tun/);
});

test("the exit code is 1 only when something needed is broken", () => {
  assert.equal(doctorExitCode(reportOf(good, doubtful)), 0);
  assert.equal(doctorExitCode(reportOf(good, broken)), 1);
});

function reportOf(...checks: CheckResult[]): DoctorReport {
  return { ok: !checks.some((check) => check.needed && check.ok === "fail"), checks };
}
