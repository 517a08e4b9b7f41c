import { statSync } from "node:fs";
import { type ErrorBody, type ErrorCode, errorCatalogue, NexusError, SpecError, type SpecProblem } from "../base/errors.ts";
import { systemSocketPath } from "../spec/places.ts";

/** The error the daemon raised, rebuilt from its answer. An answer that is none of ours becomes `internal`. */
export function errorFromBody(answer: unknown, status: number): NexusError {
  const body = errorBody(answer);
  if (body === undefined) return new NexusError("internal", `the daemon answered with status ${status} and no error that is understood`);
  const problems = body.details?.["problems"];
  if (body.code === "spec-invalid" && Array.isArray(problems)) return new SpecError(problems as SpecProblem[]);
  return new NexusError(body.code, body.message, { hint: body.hint, details: body.details });
}

/** Why the socket gave no answer, with what to do about it. */
export function unreachableError(cause: unknown, socketPath: string): NexusError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  const start = socketPath === systemSocketPath ? "sudo nexus daemon start" : "nexus daemon start";
  switch (code) {
    case "ENOENT":
      return failed(
        `no daemon: ${socketPath} does not exist`,
        `start it with \`${start}\`, or name its socket with --socket or NEXUS_SOCKET`,
        cause,
      );
    case "ECONNREFUSED":
      return failed(`no daemon: nothing listens on ${socketPath}`, `start it with \`${start}\``, cause);
    case "EACCES":
    case "EPERM":
      return new NexusError("not-permitted", `the daemon's socket ${socketPath} is closed to this user`, {
        hint: belongsToRoot(socketPath)
          ? "use sudo, or make and join the group nexus (`sudo groupadd nexus && sudo usermod -aG nexus $USER`), restart the daemon and log in again"
          : "use sudo, or join the group nexus (`sudo usermod -aG nexus $USER`, then log in again)",
        cause,
      });
    default:
      return failed(
        `the daemon on ${socketPath} did not answer: ${cause instanceof Error ? cause.message : String(cause)}`,
        "see its log, or `nexus daemon status`",
        cause,
      );
  }
}

/** When the daemon started, the host had no group to give it to. */
function belongsToRoot(socketPath: string): boolean {
  try {
    return statSync(socketPath).gid === 0;
  } catch {
    return false;
  }
}

function failed(message: string, hint: string, cause: unknown): NexusError {
  return new NexusError("daemon-unreachable", message, { hint, cause });
}

function errorBody(answer: unknown): ErrorBody | undefined {
  if (typeof answer !== "object" || answer === null || !("error" in answer)) return undefined;
  const body = answer.error as Partial<ErrorBody> | null;
  if (typeof body?.code !== "string" || typeof body.message !== "string" || !isCode(body.code)) return undefined;
  return body as ErrorBody;
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}
