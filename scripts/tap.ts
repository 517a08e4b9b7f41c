/** What one run of `node --test --test-reporter=tap` came to. */
export type TapResult = {
  passed: number;
  failed: number;
  skipped: { test: string; reason: string }[];
  /** The failed tests with their diagnosis, as text. */
  failures: string[];
  /** False when the run was cut before its summary. */
  complete: boolean;
};

/** Reads TAP 13 as Node writes it. Counts come from its summary, which leaves suites out. */
export function readTap(text: string): TapResult {
  const lines = text.split("\n");
  const counted = (word: string) => Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  const skipped: TapResult["skipped"] = [];
  const failures: string[] = [];
  lines.forEach((line, i) => {
    const point = /^\s*(not )?ok \d+ - (.*?)(?: # (SKIP|TODO)(?: (.*))?)?$/.exec(line);
    if (point === null) return;
    const [, not, name = "", directive, reason = ""] = point;
    if (directive !== undefined) skipped.push({ test: unescape(name), reason: directive === "TODO" ? "marked as to do" : reason });
    else if (not !== undefined && !isSummaryOfChildren(lines, i)) failures.push([line.trim(), ...diagnosis(lines, i + 1)].join("\n"));
  });
  return {
    passed: counted("pass"),
    failed: counted("fail") + counted("cancelled"),
    skipped,
    failures,
    complete: /^# pass \d+$/m.test(text),
  };
}

/** A suite or file that failed only because a test within did. */
function isSummaryOfChildren(lines: string[], at: number): boolean {
  return diagnosis(lines, at + 1).some((line) => /failureType: 'subtestsFailed'/.test(line));
}

/** The YAML block below a test point. */
function diagnosis(lines: string[], from: number): string[] {
  if (lines[from]?.trim() !== "---") return [];
  const end = lines.findIndex((line, i) => i > from && line.trim() === "...");
  return lines.slice(from + 1, end === -1 ? from + 40 : end);
}

function unescape(name: string): string {
  return name.replace(/\\([#\\])/g, "$1");
}
