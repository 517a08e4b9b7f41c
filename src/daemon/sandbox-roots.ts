import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../base/clock.ts";
import { NexusError } from "../base/errors.ts";
import { systemRefusal } from "../base/system-error.ts";
import type { Log } from "../base/log.ts";
import type { SandboxRootReport } from "../host/doctor/report.ts";
import { formatChecksum } from "../images/checksum.ts";
import { Listeners } from "../images/listeners.ts";
import { type RootfsSource, sandboxRootfs, unpackedAt } from "../images/sandbox-rootfs.ts";
import { SharedFetches } from "../images/shared-fetch.ts";
import type { Config } from "../spec/config.ts";
import type { Places } from "../spec/places.ts";
import type { Chronicle } from "./chronicle.ts";
import { type Archive, keyOf, nameOf, shortName, sourceOf } from "./rootfs-source.ts";

type Wanted = Config["sandbox"];

/** A root file system that is here; `directory` is undefined for the host's own programs. */
export type SandboxRoot = { name: string; directory: string | undefined };

export type SandboxRootsOptions = {
  /** What is fetched and unpacked, see `sandboxRootfs`. */
  cache: string;
  clock: Pick<Clock, "monotonic">;
  log: Log;
  chronicle: Pick<Chronicle, "tell">;
  /** Called with the setting's directory whenever that has come. */
  onReady: (directory: string | undefined) => void;
};

/**
 * The root file systems of untrusted commands: the setting's, which is fetched as soon as it is set, and those that runs name. What
 * could not be had is tried again, later and later; who asks meanwhile is told why at once.
 */
export class SandboxRoots implements Disposable {
  readonly #o: SandboxRootsOptions;
  readonly #fetches = new SharedFetches<string>();
  readonly #failures = new Map<string, Failure>();
  /** What was made of archives, so that they are read once. */
  readonly #unpacked = new Map<string, string>();
  readonly #said = new Map<string, string>();
  readonly #listeners = new Listeners();
  #wanted: Wanted = nothingSet;
  #background = new AbortController();

  constructor(options: SandboxRootsOptions) {
    this.#o = options;
  }

  /** The setting from now on; begins to fetch what it names. */
  follow(wanted: Wanted): void {
    if (this.#failures.size === 0 && isDeepStrictEqual(wanted, this.#wanted)) return;
    this.#background.abort();
    this.#background = new AbortController();
    this.#wanted = wanted;
    this.#failures.clear();
    void this.#provide(this.#background.signal);
  }

  /** The root file system of a text, by default of the setting, as soon as it is here. @throws NexusError saying why it is not; the signal's reason */
  async get(text: string | undefined, signal: AbortSignal, progress: (line: string) => void = () => {}): Promise<SandboxRoot> {
    const source = this.#sourceOf(text);
    switch (source.kind) {
      case "host":
        return { name: "host", directory: undefined };
      case "directory":
        return { name: source.path, directory: await sandboxRootfs(source, { cache: this.#o.cache, signal, progress: () => {} }) };
      case "archive":
      case "url": {
        const directory = await this.#fetch(source, signal, progress);
        return { name: nameOf(source, directory), directory };
      }
    }
  }

  /** What became of the setting. */
  report(): Promise<SandboxRootReport> {
    return rootReport(this.#wanted, this.#o.cache, { unpacked: this.#unpacked, said: this.#said, failures: this.#failures });
  }

  [Symbol.dispose](): void {
    this.#background.abort();
  }

  #sourceOf(text: string | undefined): RootfsSource {
    return sourceOf(text ?? this.#wanted.rootfs, this.#wanted);
  }

  async #provide(signal: AbortSignal): Promise<void> {
    let told: string | undefined;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        const { directory } = await this.get(undefined, signal);
        if (!signal.aborted) this.#o.onReady(directory);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const message = error instanceof Error ? error.message : String(error);
        if (message !== told) this.#tell("failed", this.#wanted.rootfs, `untrusted commands have no root file system: ${message}`);
        told = message;
      }
      await delay(pauseMs(tries), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async #fetch(source: Archive, signal: AbortSignal, progress: (line: string) => void): Promise<string> {
    const key = keyOf(source);
    const known = this.#unpacked.get(key);
    if (known !== undefined && existsSync(known)) return known;
    const failed = this.#failures.get(key);
    const leftMs = (failed?.until ?? 0) - this.#o.clock.monotonic();
    if (failed !== undefined && leftMs > 0) throw again(failed.error, leftMs);
    using _ = this.#listeners.add(key, progress);
    return await this.#fetches.join(key, signal, (all) => this.#make(source, key, all));
  }

  async #make(source: Archive, key: string, signal: AbortSignal): Promise<string> {
    const { cache, clock, log } = this.#o;
    const rootfs = shortName(source);
    let logged: number | undefined;
    const progress = (line: string): void => {
      if (logged === undefined)
        this.#tell("started", rootfs, `${source.kind === "url" ? "fetching" : "unpacking"} the root file system ${rootfs}`);
      this.#said.set(key, line);
      this.#listeners.tell(key, line);
      if (clock.monotonic() - (logged ?? -Infinity) < logEveryMs) return;
      logged = clock.monotonic();
      log.info({ rootfs }, line);
    };
    try {
      const directory = (await sandboxRootfs(source, { cache, signal, progress })) ?? "";
      this.#failures.delete(key);
      this.#unpacked.set(key, directory);
      if (logged !== undefined) this.#tell("ready", rootfs, `the root file system ${nameOf(source, directory)} is here`);
      return directory;
    } catch (thrown) {
      const error = systemRefusal(thrown) ?? thrown;
      const tries = (this.#failures.get(key)?.tries ?? 0) + 1;
      if (!signal.aborted) this.#failures.set(key, { error, tries, until: clock.monotonic() + pauseMs(tries) });
      throw error;
    } finally {
      this.#said.delete(key);
    }
  }

  #tell(kind: "started" | "ready" | "failed", subject: string, message: string): void {
    this.#o.chronicle.tell({ kind: `rootfs.${kind}`, subject, message });
  }
}

/** What became of a setting; fetches nothing, and waits for nothing. By default of one that no daemon has taken up. */
export async function rootReport(
  wanted: Wanted,
  cache: string,
  known: { unpacked?: ReadonlyMap<string, string>; said?: ReadonlyMap<string, string>; failures?: ReadonlyMap<string, Failure> } = {},
): Promise<SandboxRootReport> {
  const name = wanted.rootfs;
  try {
    const source = sourceOf(name, wanted);
    const key = keyOf(source);
    const failed = known.failures?.get(key);
    if (failed !== undefined) throw failed.error;
    if (source.kind === "host") return { kind: "ready", name, directory: undefined };
    if (source.kind === "directory")
      return {
        kind: "ready",
        name,
        directory: await sandboxRootfs(source, { cache, signal: new AbortController().signal, progress: () => {} }),
      };
    const here = source.kind === "url" ? unpackedAt(cache, formatChecksum(source.checksum)) : known.unpacked?.get(key);
    if (here === undefined || !existsSync(here)) return { kind: "coming", name, progress: known.said?.get(key) };
    return { kind: "ready", name: nameOf(source, here), directory: here };
  } catch (error) {
    if (!(error instanceof NexusError)) throw error;
    return { kind: "failed", name, reason: error.message, hint: error.hint };
  }
}

const nothingSet: Wanted = { rootfs: "host", rootfs_amd64: "none", rootfs_arm64: "none" };

type Failure = { error: unknown; tries: number; until: number };
export function rootfsCache({ cacheDir }: Pick<Places, "cacheDir">): string {
  return join(cacheDir, "rootfs");
}

function again(error: unknown, leftMs: number): unknown {
  if (!(error instanceof NexusError)) return error;
  return new NexusError(error.code, `${error.message} (tried again in ${Math.ceil(leftMs / 1000)} s)`, { hint: error.hint, cause: error });
}

function pauseMs(tries: number): number {
  return Math.min(30_000 * 2 ** (tries - 1), 600_000);
}

const logEveryMs = 5000;
