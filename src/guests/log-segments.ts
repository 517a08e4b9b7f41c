import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** One file of a log, held open: however it is renamed or removed meanwhile, it is read to its end. */
export type LogSegment = Disposable & {
  /** Names the file among those of its log while this is open. */
  inode: bigint;
  /** Bytes it has now. */
  size(): number;
  /** Bytes from one place to another, fewer where it ends. */
  read(from: number, to: number): Buffer;
};

/** The files of a log there are, newest first, each once, also while a rotation renames them. The caller disposes of each. */
export function openSegments(path: string): LogSegment[] {
  const segments: LogSegment[] = [];
  // Renaming moves a file towards higher numbers only: read upwards, it can be met twice but not missed.
  for (let n = 0; n <= mostSegments; n++) {
    const segment = openSegment(n === 0 ? path : `${path}.${n}`);
    if (segment === undefined) continue;
    if (segments.some((other) => other.inode === segment.inode)) segment[Symbol.dispose]();
    else segments.push(segment);
  }
  return segments;
}

/** All bytes of a segment between two places, in pieces. */
export function* piecesOf(segment: LogSegment, from: number, to: number): Generator<Uint8Array> {
  for (let at = from; at < to;) {
    const piece = segment.read(at, Math.min(to, at + pieceBytes));
    if (piece.length === 0) return;
    at += piece.length;
    yield piece;
  }
}

/** The last `count` lines of all segments, newest first, and of no more than the last `maxBytes`. */
export function tailOf(segments: readonly LogSegment[], count: number, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let lines = 0;
  let total = 0;
  for (const segment of count === 0 ? [] : segments) {
    for (let end = segment.size(); end > 0 && total < maxBytes;) {
      const piece = segment.read(Math.max(0, end - Math.min(pieceBytes, maxBytes - total)), end);
      if (piece.length === 0) break;
      end -= piece.length;
      for (let i = piece.length - 1; i >= 0; i--) {
        // The line feed that ends the last line does not begin another.
        if (piece[i] !== lineFeed || (total === 0 && i === piece.length - 1)) continue;
        if (++lines === count) return Buffer.concat([piece.subarray(i + 1), ...parts]);
      }
      parts.unshift(piece);
      total += piece.length;
    }
  }
  return Buffer.concat(parts);
}

const lineFeed = 10;
const pieceBytes = 64 * 1024;
const mostSegments = 9;

function openSegment(path: string): LogSegment | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isFile()) {
    closeSync(fd);
    return undefined;
  }
  return {
    inode: stat.ino,
    size: () => fstatSync(fd).size,
    read(from, to) {
      const buffer = Buffer.alloc(Math.max(0, to - from));
      return buffer.length === 0 ? buffer : buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, from));
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}
