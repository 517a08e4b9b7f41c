import { type ErrorCode, KernelError, NexusError } from "../base/errors.ts";

/** SQLite's primary result codes that mean something to the user (sqlite3.h); the low byte of `errcode`. */
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteReadonly = 8;
const sqliteIoError = 10;
const sqliteBusy = 5;
const sqliteCantOpen = 14;
const sqliteConstraint = 19;
const sqliteNotDatabase = 26;

type SqliteFault = Error & { errcode: number };

/** The error of a failed SQLite call in Nexus' terms; any other error as it is. */
export function stateFault(error: unknown, file: string, op: string): unknown {
  if (!isSqlite(error)) return error;
  const extra = { cause: error, details: { file, op, sqlite: error.errcode } };
  switch (error.errcode & 0xff) {
    case sqliteCorrupt:
    case sqliteNotDatabase:
      return corrupt(file, error.message, error);
    case sqliteFull:
      return kernelSays(
        {
          op: `${op} ${file}`,
          errno: "ENOSPC",
          text: "No space left on device",
          hint: "free some space on that disk; the change was not made, and nothing that was stored is lost",
        },
        error,
      );
    case sqliteIoError:
      return kernelSays({ op: `${op} ${file}`, errno: "EIO", text: error.message, hint: "check the disk: the change was not made" }, error);
    case sqliteReadonly:
    case sqliteCantOpen:
      return new NexusError("not-permitted", `${op} ${file}: ${error.message}`, {
        ...extra,
        hint: "the state directory must exist and be writable by nexusd",
      });
    case sqliteBusy:
      return new NexusError("daemon-running", `${op} ${file}: another program has it locked`, {
        ...extra,
        hint: "end the program that uses this database",
      });
    case sqliteConstraint:
      return constraint(error, extra);
    default:
      return new NexusError("internal", `${op} ${file}: ${error.message}`, extra);
  }
}

/** What to say of a database that cannot be read; it is never deleted or overwritten. */
export function corrupt(file: string, what: string, cause?: unknown): NexusError {
  return new NexusError("state-corrupt", `the state in ${file} cannot be read: ${what}`, {
    cause,
    hint: `nothing was changed; restore ${file} from a copy, or move it away (with its -wal and -shm) to start empty`,
    details: { file },
  });
}

/** A backstop: the daemon checks before it writes, so these name a column, not a person. */
const uniqueColumns: readonly (readonly [column: string, code: ErrorCode, what: string])[] = [
  ["guests.name", "name-taken", "a guest of that name exists already"],
  ["networks.name", "name-taken", "a network of that name exists already"],
  ["networks.bridge", "name-taken", "another network has that bridge"],
  ["networks.mac", "name-taken", "another network has that MAC address, which is made from the name"],
  ["subnets.prefix", "subnet-overlap", "another network has that subnet"],
  ["attachments.mac", "address-taken", "another guest has that MAC address"],
  ["leases.network", "address-taken", "the address is leased already"],
  ["publishes.protocol", "port-taken", "the host port is published already"],
];

function constraint(error: SqliteFault, extra: { cause: unknown; details: Record<string, unknown> }): NexusError {
  if (error.message.startsWith("FOREIGN KEY"))
    return new NexusError("in-use", "the row has others that depend on it, or depends on one that is not there", extra);
  for (const [column, code, what] of uniqueColumns) if (error.message.includes(column)) return new NexusError(code, what, extra);
  return new NexusError("internal", error.message, extra);
}

function kernelSays(refusal: { op: string; errno: string; text: string; hint: string }, cause: unknown): KernelError {
  const error = new KernelError(refusal);
  error.cause = cause;
  return error;
}

function isSqlite(error: unknown): error is SqliteFault {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number";
}
