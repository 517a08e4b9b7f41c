import { unreachable } from "../base/exhaustive.ts";

/** `skip` means it could not be found out, or does not concern this host; why is in `detail`. */
export type Outcome = "ok" | "warn" | "fail" | "skip";

/** What a check of the host found, as far as its reader goes. */
export type Examined = {
  name: string;
  ok: Outcome;
  needed: boolean;
  detail: string;
  remedy?: string | undefined;
  fixed?: string | undefined;
};

/** As plain text: a line for each check, what to do about it below, and what it comes to. `ok`: nothing needed is broken. */
export function formatDiagnosis({ ok, checks }: { ok: boolean; checks: readonly Examined[] }): string {
  const width = Math.max(narrowest, ...checks.map((check) => check.name.length + 2));
  return ["nexusd doctor", rule, ...checks.flatMap((check) => lines(check, width)), rule, ...summary(ok, checks), ""].join("\n");
}

function lines(check: Examined, width: number): string[] {
  const indent = " ".repeat(width + 4);
  return [
    `  ${sign(check.ok)} ${check.name.padEnd(width)}${check.detail}`,
    ...(check.fixed === undefined ? [] : [`${indent}fixed: ${check.fixed}`]),
    ...(check.remedy === undefined ? [] : [`${indent}→ ${check.remedy}`]),
  ];
}

function sign(outcome: Outcome): string {
  switch (outcome) {
    case "ok":
      return "✓";
    case "warn":
      return "⚠";
    case "fail":
      return "✗";
    case "skip":
      return "─";
  }
  return unreachable(outcome);
}

function summary(ok: boolean, checks: readonly Examined[]): string[] {
  const named = (outcome: Outcome, needed: boolean): string =>
    checks
      .filter((check) => check.ok === outcome && check.needed === needed)
      .map((check) => check.name)
      .join(", ");
  const told = (words: string, names: string): string[] => (names === "" ? [] : [`  ${words}: ${names}.`]);
  const faults = [
    ...told("Needed and broken", named("fail", true)),
    ...told("Broken, needed for a part only", named("fail", false)),
    ...told("Worth a look", [named("warn", true), named("warn", false)].filter((names) => names !== "").join(", ")),
  ];
  const failed = checks.some((check) => check.ok === "fail");
  const first = failed ? "Some checks failed." : faults.length === 0 ? "All checks passed." : "No check failed.";
  return [`  ${first}${ok ? " Nexus can work here." : ""}`, ...faults];
}

const rule = "─".repeat(50);
/** Of the column of names, so that short reports look like long ones. */
const narrowest = 26;
