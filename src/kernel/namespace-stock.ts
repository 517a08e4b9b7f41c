import type { Fd } from "../sys/fd.ts";
import { anonymousNamespace } from "./namespaces.ts";

/** Enough for a few attachments in a row; each costs the kernel some memory while it waits. */
const stockSize = 4;
/** Not while somebody still waits for the answer that used one up. */
const pauseMs = 5;

/**
 * Empty network namespaces made ahead, in the pauses of the event loop: making one is a third of what an attachment costs.
 * They have no name and no file, so whatever ends the process ends them too.
 */
export class NamespaceStock implements Disposable {
  readonly #ready: Fd[] = [];
  #filling: NodeJS.Timeout | undefined;

  constructor() {
    this.#fillSoon();
  }

  /** One of them, which is the caller's from then on; undefined when none is left. */
  take(): Fd | undefined {
    const taken = this.#ready.pop();
    this.#fillSoon();
    return taken;
  }

  /** One of them, or one made now. @throws KernelError */
  takeOrMake(): Fd {
    return this.take() ?? anonymousNamespace();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#filling);
    for (const fd of this.#ready.splice(0)) fd[Symbol.dispose]();
  }

  #fillSoon(): void {
    this.#filling ??= setTimeout(() => {
      this.#filling = undefined;
      try {
        this.#ready.push(anonymousNamespace());
      } catch {
        // Whoever needs a namespace next makes it, and is told why that fails.
        return;
      }
      if (this.#ready.length < stockSize) this.#fillSoon();
    }, pauseMs);
  }
}
