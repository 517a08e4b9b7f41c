import { NexusError } from "../base/errors.ts";
import type { ArgumentRule, CallAction, CallPolicy, Condition } from "./seccomp-sandbox.ts";
import { type FilteredArchitecture, systemCallNumbers } from "./syscall-numbers.ts";

/**
 * The policy as a program for the kernel's filter machine (Documentation/userspace-api/seccomp_filter.rst), in the bytes bubblewrap's
 * --seccomp takes: struct sock_filter after struct sock_filter, little-endian. A program of another instruction set is killed.
 * @throws NexusError `unsupported` for a policy too long for a jump
 */
export function compileFilter(policy: CallPolicy, architecture: FilteredArchitecture): Uint8Array {
  const numbers = systemCallNumbers(architecture);
  const program = new Program();
  const ranges = rangesOf(policy, numbers);
  program.emit(load, dataArchitecture);
  program.branch(
    { code: jumpEqual, value: auditArchitecture[architecture] },
    () => {
      program.emit(load, dataNumber);
      // x32 has the number of x86-64's architecture and its own calls from here on.
      if (architecture === "x64") program.branch({ code: jumpGreaterOrEqual, value: x32Bit }, () => program.emit(answer, errnoOf(enosys)));
      decide(program, ranges);
    },
    () => program.emit(answer, killProcess),
  );
  return program.bytes();
}

/** Numbers from `from` up to the next range's have one rule. */
type Range = { from: number; rule: CallAction | ArgumentRule };

function rangesOf(policy: CallPolicy, numbers: ReadonlyMap<string, number>): Range[] {
  const ranges: Range[] = [{ from: 0, rule: policy.otherwise }];
  const put = (from: number, rule: Range["rule"]): void => {
    const last = ranges.at(-1);
    if (last?.from === from) ranges.pop();
    if (key(ranges.at(-1)?.rule) !== key(rule)) ranges.push({ from, rule });
  };
  for (const [name, number] of [...numbers].toSorted(([, a], [, b]) => a - b)) {
    put(number, policy.calls.get(name) ?? policy.otherwise);
    put(number + 1, policy.otherwise);
  }
  return ranges;
}

function key(rule: Range["rule"] | undefined): string {
  return JSON.stringify(rule);
}

/** By halves, so that no call is looked at more than eight or nine times. */
function decide(program: Program, ranges: readonly Range[]): void {
  const [first, ...rest] = ranges;
  if (first === undefined) return;
  if (rest.length === 0) return answerRule(program, first.rule);
  const middle = Math.ceil(ranges.length / 2);
  program.branch(
    { code: jumpGreaterOrEqual, value: ranges[middle]?.from ?? 0 },
    () => decide(program, ranges.slice(middle)),
    () => decide(program, ranges.slice(0, middle)),
  );
}

function answerRule(program: Program, rule: Range["rule"]): void {
  if (rule === "allow" || "errno" in rule) return program.emit(answer, actionOf(rule));
  for (const { when, action } of rule.cases) whenAll(program, when, () => program.emit(answer, actionOf(action)));
  program.emit(answer, actionOf(rule.otherwise));
}

/** One after the other, each within the one before; what fails goes on with what is emitted next. */
function whenAll(program: Program, [first, ...rest]: readonly Condition[], then: () => void): void {
  if (first === undefined) return then();
  const { argument, test, values } = first;
  program.emit(load, dataArguments + argument * 8);
  const inner = (): void => whenAll(program, rest, then);
  const bits = values.reduce((sum, value) => (sum | value) >>> 0, 0);
  if (test === "anyBit") program.branch({ code: jumpAnyBit, value: bits }, inner);
  else for (const value of values) program.branch({ code: jumpEqual, value }, inner);
}

function actionOf(action: CallAction): number {
  return action === "allow" ? allowCall : errnoOf(action.errno);
}

function errnoOf(errno: number): number {
  return (returnErrno | errno) >>> 0;
}

type Instruction = { code: number; whenTrue: number; whenFalse: number; value: number };

class Program {
  readonly #instructions: Instruction[] = [];

  emit(code: number, value: number): void {
    this.#instructions.push({ code, whenTrue: 0, whenFalse: 0, value });
  }

  /**
   * When the test holds, `then`, and what is emitted next unless it answers; when not, `otherwise`, or what is emitted next. Conditional jumps
   * reach 255 instructions only, so they go around an unconditional one.
   */
  branch({ code, value }: { code: number; value: number }, then: () => void, otherwise: () => void = () => {}): void {
    const away: Instruction = { code: jumpAlways, whenTrue: 0, whenFalse: 0, value: 0 };
    this.#instructions.push({ code, whenTrue: 1, whenFalse: 0, value }, away);
    const start = this.#instructions.length;
    then();
    away.value = this.#instructions.length - start;
    otherwise();
  }

  bytes(): Uint8Array {
    if (this.#instructions.length > maxInstructions) throw new NexusError("unsupported", "a filter of system calls is too long");
    const bytes = new DataView(new ArrayBuffer(this.#instructions.length * 8));
    for (const [index, { code, whenTrue, whenFalse, value }] of this.#instructions.entries()) {
      bytes.setUint16(index * 8, code, true);
      bytes.setUint8(index * 8 + 2, whenTrue);
      bytes.setUint8(index * 8 + 3, whenFalse);
      bytes.setUint32(index * 8 + 4, value, true);
    }
    return new Uint8Array(bytes.buffer);
  }
}

/** include/uapi/linux/bpf_common.h: class, size, mode or operation and source in one number. */
const load = 0x20;
const jumpAlways = 0x05;
const jumpEqual = 0x15;
const jumpGreaterOrEqual = 0x35;
const jumpAnyBit = 0x45;
const answer = 0x06;
const maxInstructions = 4096;

/** Offsets in struct seccomp_data, and answers (include/uapi/linux/seccomp.h). An argument's low half comes first. */
const dataNumber = 0;
const dataArchitecture = 4;
const dataArguments = 16;
const killProcess = 0x8000_0000;
const returnErrno = 0x0005_0000;
const allowCall = 0x7fff_0000;

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 (include/uapi/linux/audit.h). */
const auditArchitecture: Readonly<Record<FilteredArchitecture, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
const x32Bit = 0x4000_0000;
const enosys = 38;
