import { type Clock, systemClock } from "../base/clock.ts";

/** Says how far a transfer is, how fast it goes and how long it will take: in words at most twice a second. */
export class TransferProgress {
  readonly #say: (line: string) => void;
  readonly #clock: Clock;
  readonly #marks: { at: number; bytes: number }[] = [];
  #told: number;

  constructor(say: (line: string) => void, clock: Clock = systemClock) {
    this.#say = say;
    this.#clock = clock;
    this.#told = clock.monotonic();
  }

  /** `bytes` are those that are here, of `total` when that is known. Fewer than before mean that it began anew. */
  update(bytes: number, total: number | undefined): void {
    const now = this.#clock.monotonic();
    if ((this.#marks.at(-1)?.bytes ?? 0) > bytes) this.#marks.length = 0;
    const last = this.#marks.at(-1);
    if (last === undefined || now - last.at >= markEveryMs) this.#marks.push({ at: now, bytes });
    if (this.#marks.length > marksKept) this.#marks.shift();
    if (now - this.#told < 500) return;
    this.#told = now;
    this.#say(transferText(bytes, total, this.#rate(now, bytes)));
  }

  /** Bytes per second of late; undefined before there is enough to tell. */
  #rate(now: number, bytes: number): number | undefined {
    const first = this.#marks[0];
    return first === undefined || now - first.at < 200 ? undefined : ((bytes - first.bytes) * 1000) / (now - first.at);
  }
}

/** The rate is that of the last ten seconds or so. */
const markEveryMs = 500;
const marksKept = 20;

/** `12.3 MB of 424.0 MB (2%), 35.1 MB/s, 12 s left` */
export function transferText(bytes: number, total: number | undefined, rate: number | undefined): string {
  const share = total === undefined || total === 0 ? "" : ` of ${megabytes(total)} (${Math.floor((bytes * 100) / total)}%)`;
  const speed = rate === undefined ? "" : `, ${megabytes(rate)}/s`;
  const left = rate === undefined || rate <= 0 || total === undefined ? "" : `, ${duration((total - bytes) / rate)} left`;
  return `${megabytes(bytes)}${share}${speed}${left}`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
