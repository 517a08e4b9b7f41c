/** A connection several users hold at once: QEMU serves one client on a socket, so within a process everybody shares it. */
export type Lease<T> = Disposable & { value: T };

/** Makes a connection for the first who needs it, and closes it when the last has gone. */
export class SharedConnections<T extends Disposable & { readonly closed: boolean }> {
  readonly #open = new Map<string, { connection: Promise<T>; users: number }>();

  async lease(key: string, connect: () => Promise<T>): Promise<Lease<T>> {
    let entry = this.#open.get(key);
    if (entry !== undefined && (await isDead(entry.connection))) {
      if (this.#open.get(key) === entry) this.#open.delete(key);
      entry = this.#open.get(key);
    }
    if (entry === undefined) {
      entry = { connection: connect(), users: 0 };
      this.#open.set(key, entry);
    }
    const mine = entry;
    mine.users++;
    const leave = (): void => {
      if (--mine.users > 0) return;
      if (this.#open.get(key) === mine) this.#open.delete(key);
      mine.connection.then((connection) => connection[Symbol.dispose]()).catch(() => undefined);
    };
    try {
      const value = await mine.connection;
      let left = false;
      return {
        value,
        [Symbol.dispose]() {
          if (!left) leave();
          left = true;
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }
}

async function isDead(connection: Promise<{ readonly closed: boolean }>): Promise<boolean> {
  try {
    return (await connection).closed;
  } catch {
    return true;
  }
}
