/** ECMA-48 control sequences, then what other bytes below blank are left. */
export function withoutControls(line: string): string {
  // oxlint-disable-next-line no-control-regex -- control bytes are what this removes
  return line.replaceAll(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b./g, "").replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "");
}

/** What a guest said, fit for a message: a line of at most 500 characters that moves no cursor. */
export function plainWords(said: string): string {
  return withoutControls(said.slice(0, 2000).replaceAll(/\s+/g, " ")).slice(0, 500).toWellFormed();
}
