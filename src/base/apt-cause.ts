/** Of all that apt or dpkg said, the one line that says why: they go on after a failure, and tell what follows from it as well. */
export function aptCause(said: string): string {
  const lines = said.split("\n").map((line) => line.trim());
  const cause = likely.reduce<string | undefined>((found, kind) => found ?? lines.find((line) => kind.test(line)), undefined);
  const line = cause ?? lines.findLast((one) => one !== "") ?? "it said nothing";
  return line
    .replace(/^[EW]: /, "")
    .replaceAll(/\s+/g, " ")
    .slice(0, 300);
}

/** The likeliest cause first: without a network everything else only follows. */
const likely = [/^[EW]: Failed to fetch/, /^E: /, /^dpkg[\w-]*: error/];
