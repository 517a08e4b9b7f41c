import { unreachable } from "../base/exhaustive.ts";
import type { CheckResult, DoctorReport, Outcome } from "./doctor/report.ts";

/** The report as plain text: a line for each check, its remedy below it, and a summary. */
export function formatReport(report: DoctorReport): string {
  const width = Math.max(...report.checks.map((check) => check.name.length), 0);
  return [...report.checks.flatMap((check) => lines(check, width)), "", summary(report), ""].join("\n");
}

/** 1 when something needed is broken. */
export function doctorExitCode(report: DoctorReport): 0 | 1 {
  return report.ok ? 0 : 1;
}

function lines(check: CheckResult, width: number): string[] {
  const indent = " ".repeat(width + 4);
  return [
    `${sign(check.ok)} ${check.name.padEnd(width)}  ${check.detail}`,
    ...(check.fixed === undefined ? [] : [`${indent}fixed: ${check.fixed}`]),
    ...(check.remedy === undefined ? [] : [`${indent}→ ${check.remedy}`]),
  ];
}

function sign(outcome: Outcome): string {
  switch (outcome) {
    case "ok":
      return "✓";
    case "warn":
      return "!";
    case "fail":
      return "✗";
    case "skip":
      return "─";
  }
  return unreachable(outcome);
}

function summary(report: DoctorReport): string {
  const count = (outcome: Outcome) => report.checks.filter((check) => check.ok === outcome).length;
  const broken = report.checks.filter((check) => check.needed && check.ok === "fail").map((check) => check.name);
  const counted = `${count("ok")} of ${report.checks.length} checks passed`;
  const notes = [many(count("warn"), "warning"), many(count("skip"), "could not be made", "could not be made")].filter(
    (note) => note !== "",
  );
  const tail = notes.length === 0 ? "" : `, ${notes.join(", ")}`;
  return broken.length === 0 ? `${counted}${tail}. Nexus can work here.` : `${counted}${tail}. Needed and broken: ${broken.join(", ")}.`;
}

function many(count: number, one: string, several = `${one}s`): string {
  return count === 0 ? "" : `${count} ${count === 1 ? one : several}`;
}
