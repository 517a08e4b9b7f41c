import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  watch,
} from "node:fs";
import { basename, dirname } from "node:path";

/** A guest's output on disk: `log`, and older parts `log.1`, `log.2`, … after rotation. */
export type LogLimits = { maxBytes: number; keep: number };

export const defaultLogLimits: LogLimits = { maxBytes: 10 * 1024 * 1024, keep: 3 };

/**
 * Copies a full log aside and empties it. The writer holds the file open for appending and is not told: what it writes
 * between the copy and the cut, a few microseconds, is lost. True when the log was rotated.
 */
export function rotateLog(path: string, limits: LogLimits = defaultLogLimits): boolean {
  if ((sizeOf(path) ?? 0) < limits.maxBytes) return false;
  for (let n = limits.keep - 1; n >= 1; n--) if (existsSync(`${path}.${n}`)) renameSync(`${path}.${n}`, `${path}.${n + 1}`);
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
  return true;
}

/** The last lines, read from the end, over the cut of a rotation if needed. */
export function lastLines(path: string, count: number): string[] {
  const text = tailBytes(path, count).toString("utf8");
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}

/**
 * The log from its last `tailLines` (all of it when absent) and, when following, everything that is appended until the
 * signal fires or `ended` says that nothing will come any more. Rotation is noticed and loses nothing that was copied.
 */
export async function* readLog(
  path: string,
  options: { follow: boolean; tailLines?: number; signal: AbortSignal; ended?: () => boolean },
): AsyncGenerator<Uint8Array> {
  const changes = options.follow ? changesOf(path) : undefined;
  using _ = { [Symbol.dispose]: () => changes?.close() };
  let offset = sizeOf(path) ?? 0;
  yield* options.tailLines === undefined
    ? pieces(path, 0, offset)
    : [tailBytes(path, options.tailLines, offset)].filter((bytes) => bytes.length > 0);
  while (changes !== undefined && !options.signal.aborted) {
    const over = options.ended?.() ?? false;
    const size = sizeOf(path) ?? 0;
    if (size < offset) {
      yield* pieces(`${path}.1`, offset, sizeOf(`${path}.1`) ?? 0);
      offset = 0;
    }
    yield* pieces(path, offset, size);
    const progressed = size > offset;
    offset = size;
    if (over && !progressed) return;
    if (!progressed) await changes.next(options.signal);
  }
}

const pieceBytes = 64 * 1024;

/** Bytes of the last `count` lines before `end`, at most 4 MiB; older parts are used when the newest has too few lines. */
function tailBytes(path: string, count: number, end = sizeOf(path) ?? 0): Buffer {
  if (count === 0) return Buffer.alloc(0);
  const parts: Buffer[] = [];
  let lines = 0;
  let total = 0;
  for (let n = 0; n <= 9; n++) {
    const file = n === 0 ? path : `${path}.${n}`;
    let position = n === 0 ? end : sizeOf(file);
    if (position === undefined) break;
    while (position > 0 && total < 4 * 1024 * 1024) {
      const from = Math.max(0, position - pieceBytes);
      const piece = readRange(file, from, position);
      if (piece.length === 0) break;
      position = from;
      for (let i = piece.length - 1; i >= 0; i--) {
        // The line feed that ends the last line does not begin another.
        if (piece[i] !== 10 || (total === 0 && i === piece.length - 1)) continue;
        if (++lines === count) return Buffer.concat([piece.subarray(i + 1), ...parts]);
      }
      parts.unshift(piece);
      total += piece.length;
    }
    if (total >= 4 * 1024 * 1024) break;
  }
  return Buffer.concat(parts);
}

function* pieces(path: string, from: number, to: number): Generator<Uint8Array> {
  for (let at = from; at < to;) {
    const piece = readRange(path, at, Math.min(to, at + pieceBytes));
    if (piece.length === 0) return;
    at += piece.length;
    yield piece;
  }
}

function readRange(path: string, from: number, to: number): Buffer {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const buffer = Buffer.alloc(Math.max(0, Math.min(to, fstatSync(fd).size) - from));
    const length = buffer.length === 0 ? 0 : readSync(fd, buffer, 0, buffer.length, from);
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch {
    return undefined;
  }
}

type Changes = { next(signal: AbortSignal): Promise<void>; close(): void };

/** Remembers a change that happened before somebody waited for it. The directory is watched: the log may not be there yet. */
function changesOf(path: string): Changes {
  let pending = false;
  let wake: (() => void) | undefined;
  const note = (): void => {
    pending = true;
    wake?.();
  };
  const watcher = watch(dirname(path), (_, name) => {
    if (name === null || name === basename(path) || name === "exit") note();
  });
  watcher.on("error", note);
  return {
    async next(signal) {
      if (!pending && !signal.aborted) {
        await new Promise<void>((resolve) => {
          // Looked at once a second besides, in case the notice was lost (a full inotify queue).
          const timer = setTimeout(resolve, 1000);
          const finish = (): void => {
            clearTimeout(timer);
            signal.removeEventListener("abort", finish);
            wake = undefined;
            resolve();
          };
          wake = finish;
          signal.addEventListener("abort", finish, { once: true });
        });
      }
      pending = false;
    },
    close: () => watcher.close(),
  };
}
