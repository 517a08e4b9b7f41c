import { errorCatalogue } from "../src/base/errors.ts";

/** docs/errors.md as text. */
export function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(([code, { http, exit, meaning }]) => `| \`${code}\` | ${http} | ${exit} | ${meaning} |`);
  return `${introduction}\n| code | HTTP | exit | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

const introduction = `# Errors

Every way Nexus refuses or fails has a code that does not change. The API answers \`{"error": {"code", "message", "hint"?, "details"?}}\`
with the HTTP status below; the command line prints \`nexus: message\` and the hint on stderr, or the same JSON on stdout with \`--json\`,
and ends with the exit code below: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 not found, 5 conflict.

\`message\` says what was attempted and what the answer was; \`hint\` says what to do. \`details\` is for programs: \`spec-invalid\` lists every
problem in \`details.problems\` as \`{path, problem, hint?, place?}\`; \`kernel-refused\` has \`op\`, \`errno\` and the kernel's own words in \`ack\`;
\`internal\` has the \`id\` under which the daemon's log keeps the stack.

This page is written by \`node scripts/errors.ts\` from \`src/base/errors.ts\`.
`;
