/** Every way Nexus refuses or fails: HTTP status, exit code of the command line, and what it means. docs/errors.md is compared with it. */
export const errorCatalogue = {
  usage: { http: 400, exit: 2, meaning: "the command line is not understood" },
  "spec-invalid": { http: 400, exit: 2, meaning: "a file or request has wrong values; every one is listed with its place" },
  "not-found": { http: 404, exit: 4, meaning: "no object of that name exists" },
  "image-missing": { http: 404, exit: 4, meaning: "the image is not on this host and could not be fetched" },
  "name-taken": { http: 409, exit: 5, meaning: "an object of that name exists already" },
  "address-taken": { http: 409, exit: 5, meaning: "the address is leased to another guest, which is named" },
  "address-outside": { http: 400, exit: 2, meaning: "the address is not usable in the network: outside, reserved, or the gateway" },
  "pool-exhausted": { http: 409, exit: 5, meaning: "no address is free in the network's pool, or no subnet in the automatic range" },
  "port-taken": { http: 409, exit: 5, meaning: "the host port is published by another guest or used by a process, which is named" },
  "subnet-overlap": { http: 409, exit: 5, meaning: "the subnet overlaps a route of the host or another network" },
  "bridge-foreign": { http: 409, exit: 5, meaning: "an interface of that name exists and is not ours" },
  "in-use": { http: 409, exit: 5, meaning: "the object cannot go while others depend on it; they are named" },
  "wrong-state": { http: 409, exit: 5, meaning: "the guest is not in a state in which this is possible" },
  "daemon-unreachable": { http: 503, exit: 3, meaning: "nexusd does not answer on its socket" },
  "daemon-running": { http: 409, exit: 5, meaning: "another nexusd serves this state directory or network namespace" },
  "not-permitted": { http: 403, exit: 1, meaning: "the caller or the daemon lacks a right, which is named" },
  "limit-refused": { http: 400, exit: 1, meaning: "the kernel did not accept a resource limit, or did not keep it" },
  "runtime-missing": { http: 500, exit: 1, meaning: "a program Nexus runs is not installed or does not work here" },
  "runtime-failed": { http: 500, exit: 1, meaning: "a program Nexus runs failed; its words are given" },
  "kernel-refused": { http: 500, exit: 1, meaning: "the kernel refused a request; errno and its explanation are given" },
  unsupported: { http: 501, exit: 1, meaning: "this kernel or host lacks a feature, which is named" },
  "wire-invalid": { http: 500, exit: 1, meaning: "bytes from outside do not form a valid message" },
  "state-corrupt": { http: 500, exit: 1, meaning: "the state on disk cannot be read" },
  "too-large": { http: 413, exit: 2, meaning: "a request or file is larger than its limit" },
  timeout: { http: 504, exit: 1, meaning: "a deadline passed; what was awaited is named" },
  internal: { http: 500, exit: 1, meaning: "a defect in Nexus; the log has the stack" },
} as const satisfies Record<string, { http: number; exit: number; meaning: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/** What the API puts into `{"error": …}` and `--json` prints: enough to rebuild the error on the other side. */
export type ErrorBody = {
  code: ErrorCode;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
};

/** The base of all errors Nexus raises on purpose. `hint` says what to do; `details` are plain JSON. */
export class NexusError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = "NexusError";
    this.code = code;
    this.hint = extra.hint;
    this.details = extra.details;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }
}

export type ErrorExtra = { hint?: string | undefined; details?: Record<string, unknown> | undefined; cause?: unknown };

/** The kernel said no: which operation, which errno, and the extended ack's words and attribute when it gave them. */
export class KernelError extends NexusError {
  readonly op: string;
  readonly errno: string;
  /** The errno in words. */
  readonly text: string;
  readonly ack: KernelAck | undefined;

  constructor(refusal: { op: string; errno: string; text: string; ack?: KernelAck | undefined; hint?: string | undefined }) {
    const ack = refusal.ack;
    const said = ack?.message === undefined ? "" : `: ${ack.message}`;
    const where = ack?.attribute === undefined ? "" : ` [${ack.attribute}]`;
    super("kernel-refused", `${refusal.op}: ${refusal.errno} (${refusal.text})${said}${where}`, {
      hint: refusal.hint,
      details: { op: refusal.op, errno: refusal.errno, ...(ack === undefined ? {} : { ack }) },
    });
    this.name = "KernelError";
    this.op = refusal.op;
    this.errno = refusal.errno;
    this.text = refusal.text;
    this.ack = ack;
  }
}

export type KernelAck = { message?: string; attribute?: string };

/** Bytes that are not what they claim to be. `path` names the structure, `offset` the byte within the input. */
export class WireError extends NexusError {
  constructor(path: string, problem: string, offset?: number) {
    super("wire-invalid", `${path}: ${problem}${offset === undefined ? "" : ` at byte ${offset}`}`, {
      details: { path, problem, ...(offset === undefined ? {} : { offset }) },
    });
    this.name = "WireError";
  }
}

/** One fault of a file or request. `place` is `file:line:col` for files, absent for API bodies. */
export type SpecProblem = { path: string; problem: string; hint?: string; place?: string };

/** Every fault of a file or request at once. */
export class SpecError extends NexusError {
  readonly problems: readonly SpecProblem[];

  constructor(problems: readonly SpecProblem[]) {
    super("spec-invalid", problems.map(problemLine).join("\n"), { details: { problems } });
    this.name = "SpecError";
    this.problems = problems;
  }
}

function problemLine(p: SpecProblem): string {
  const place = p.place === undefined ? "" : `${p.place}: `;
  const path = p.path === "" ? "" : `${p.path}: `;
  const hint = p.hint === undefined ? "" : ` (${p.hint})`;
  return `${place}${path}${p.problem}${hint}`;
}

/** The errors of several cleanups as one to throw, or undefined when there is none; a later one never hides the first. */
export function joinErrors(errors: readonly unknown[], message: string): Error | undefined {
  if (errors.length === 0) return undefined;
  if (errors.length === 1 && errors[0] instanceof Error) return errors[0];
  return new AggregateError(errors, message);
}
