import { systemCallNumbers } from "../../src/guests/syscall-numbers.ts";
import type { SandboxBed, Wish } from "./sandbox-bed.ts";

/** A call of the kernel made inside: its name and arguments, numbers or texts. */
export type Attempt = readonly [name: string, ...values: (number | string)[]];

/** Reads attempts as lines of tab-separated words, a number first; says the errno of each, 0 for success. perl is on every Debian. */
const script = String.raw`
while (my $line = <STDIN>) {
  chomp $line;
  my ($number, @words) = split /\t/, $line, -1;
  my @values = map { /^n(-?\d+)$/ ? int($1) : substr($_, 1) } @words;
  $! = 0;
  my $result = syscall(int($number), @values);
  print(($result == -1 ? $! + 0 : 0), "\n");
}`;

/** The errno of each attempt, made one after the other in one sandbox. */
export async function attempt(bed: SandboxBed, attempts: readonly Attempt[], wish: Wish = {}): Promise<number[]> {
  const numbers = systemCallNumbers(process.arch === "arm64" ? "arm64" : "x64");
  const lines = attempts.map(([name, ...values]) =>
    [numbers.get(name) ?? 100_000, ...values.map((value) => (typeof value === "number" ? `n${value}` : `s${value}`))].join("\t"),
  );
  const { stdout, stderr, exit } = await bed.run(["perl", "-e", script], { ...wish, input: `${lines.join("\n")}\n` });
  if (exit.code !== 0) throw new Error(`the probe ended with ${exit.code}: ${stderr}`);
  return stdout.trim().split("\n").map(Number);
}
