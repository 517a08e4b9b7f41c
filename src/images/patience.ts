/** How long a peer may be silent: a signal that fires with the caller's own, or when nothing came for a while. */
export class Patience implements Disposable {
  readonly signal: AbortSignal;
  readonly #idle = new AbortController();
  readonly #idleMs: number;
  readonly #onSilence: () => Error;
  #timer: NodeJS.Timeout | undefined;

  /** `onSilence` makes the reason the signal then has. */
  constructor(signal: AbortSignal, limit: { idleMs: number; onSilence: () => Error }) {
    this.signal = AbortSignal.any([signal, this.#idle.signal]);
    this.#idleMs = limit.idleMs;
    this.#onSilence = limit.onSilence;
    this.begin();
  }

  /** The peer's turn, from now. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#idle.abort(this.#onSilence()), this.#idleMs);
  }

  /** Our own turn: a slow disk is not the peer's silence. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
