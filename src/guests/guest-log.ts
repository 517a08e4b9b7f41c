import { dirname } from "node:path";
import { watchDirectory } from "./directory-changes.ts";
import { type LogSegment, openSegments, piecesOf, tailOf } from "./log-segments.ts";

/** A guest's output on disk: `log`, and older parts `log.1`, `log.2`, … after rotation. */
export type LogLimits = { maxBytes: number; keep: number };

export const defaultLogLimits: LogLimits = { maxBytes: 10 * 1024 * 1024, keep: 3 };

/**
 * The last lines, read from the end, over the cut of a rotation if needed. A guest writes what it likes: of each line there
 * are 1024 characters at most, and of all together the last 16 KiB. Control characters stay as they are.
 */
export function lastLines(path: string, count: number): string[] {
  const segments = openSegments(path);
  try {
    const lines = tailOf(segments, count, 256 * 1024)
      .toString("utf8")
      .split("\n");
    if (lines.at(-1) === "") lines.pop();
    const kept = lines
      .slice(Math.max(0, lines.length - count))
      .map((line) => (line.length <= 1024 ? line : `${line.slice(0, 1023).toWellFormed()}…`));
    let bytes = kept.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
    while (bytes > 16 * 1024) bytes -= Buffer.byteLength(kept.shift() ?? "");
    return kept;
  } finally {
    for (const segment of segments) segment[Symbol.dispose]();
  }
}

/**
 * The log from its last `tailLines` (all that is kept when absent) and, when following, everything that is appended until
 * the signal fires or `ended` says that nothing will come any more. Nothing is lost to a rotation unless the reader is so
 * slow that parts are removed before it comes to them.
 */
export async function* readLog(
  path: string,
  options: { follow: boolean; tailLines?: number; signal: AbortSignal; ended?: () => boolean },
): AsyncGenerator<Uint8Array> {
  using changes = options.follow ? watchDirectory(dirname(path)) : undefined;
  const segments = openSegments(path);
  let current = segments[0];
  let offset = current?.size() ?? 0;
  try {
    if (options.tailLines === undefined)
      for (const segment of segments.toReversed()) yield* piecesOf(segment, 0, segment === current ? offset : segment.size());
    else yield tailOf(segments, options.tailLines, mostTailBytes);
    for (const segment of segments.splice(1)) segment[Symbol.dispose]();
    while (changes !== undefined && !options.signal.aborted) {
      const over = options.ended?.() ?? false;
      const size = current?.size() ?? 0;
      if (current !== undefined && size < offset) {
        // It was copied aside and emptied; what came before the cut is in the copy.
        yield* restOfCopy(path, current, offset);
        offset = 0;
      }
      if (current !== undefined) yield* piecesOf(current, offset, size);
      const progressed = size > offset;
      offset = size;
      if (progressed) continue;
      const next = segmentAfter(path, current);
      if (next !== undefined) {
        // Renamed, the file no longer grows: what came to it after the look at its size was its last.
        if (current !== undefined) yield* piecesOf(current, offset, current.size());
        current?.[Symbol.dispose]();
        segments[0] = current = next;
        offset = 0;
      } else if (over) return;
      else await changes.next(1000, options.signal);
    }
  } finally {
    for (const segment of segments) segment[Symbol.dispose]();
  }
}

const mostTailBytes = 4 * 1024 * 1024;

/** The file begun after this one; when this is gone from the log, the oldest there is. */
function segmentAfter(path: string, current: LogSegment | undefined): LogSegment | undefined {
  const segments = openSegments(path);
  const at = segments.findIndex((segment) => segment.inode === current?.inode);
  const next = segments[at === -1 ? segments.length - 1 : at - 1];
  for (const segment of segments) if (segment !== next) segment[Symbol.dispose]();
  return next;
}

function* restOfCopy(path: string, current: LogSegment, offset: number): Generator<Uint8Array> {
  const segments = openSegments(path);
  try {
    const copy = segments.find((segment) => segment.inode !== current.inode);
    if (copy !== undefined) yield* piecesOf(copy, offset, copy.size());
  } finally {
    for (const segment of segments) segment[Symbol.dispose]();
  }
}
