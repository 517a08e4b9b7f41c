import { type FSWatcher, readFileSync, realpathSync, watch } from "node:fs";
import { dirname } from "node:path";
import { isHostShort } from "../../base/system-error.ts";
import { ipFromBigint } from "../../base/ip.ts";
import { dnsPort, parseUpstream, type Upstream } from "./upstream.ts";

const maxUpstreams = 8;
const settleMs = 20;
/** For file systems that report no changes, and directories that appear only later. */
const recheckMs = 30_000;
const localResolver: Upstream = { address: ipFromBigint(4, 0x7f000001n), port: dnsPort };

/** The resolvers of a resolv.conf(5); the one on this machine when it names none, as the C library does. */
export function parseResolvConf(text: string): Upstream[] {
  const found: Upstream[] = [];
  for (const line of text.split("\n")) {
    const host = /^nameserver[ \t]+(\S+)/.exec(line)?.[1];
    const upstream = host === undefined || host.includes("#") ? undefined : parseUpstream(host);
    if (upstream !== undefined && found.length < maxUpstreams) found.push(upstream);
  }
  return found.length > 0 ? found : [localResolver];
}

export type ResolvConfOptions = { path: string; onChange: (upstreams: Upstream[]) => void };

/**
 * The host's resolvers as they are now and after each change. The file is often a symbolic link whose target is replaced,
 * so the directories of both the link and the file it leads to are watched.
 */
export class HostResolvers implements Disposable {
  readonly #options: ResolvConfOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #recheck: NodeJS.Timeout;
  #settle: NodeJS.Timeout | undefined;
  #text: string;
  #current: Upstream[];

  constructor(options: ResolvConfOptions) {
    this.#options = options;
    this.#watchDirectories();
    this.#text = readText(options.path, "");
    this.#current = parseResolvConf(this.#text);
    this.#recheck = setInterval(() => this.#reread(), recheckMs);
    this.#recheck.unref();
  }

  get current(): readonly Upstream[] {
    return this.#current;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#recheck);
    clearTimeout(this.#settle);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #reread(): void {
    this.#watchDirectories();
    const text = readText(this.#options.path, this.#text);
    if (text === this.#text) return;
    this.#text = text;
    this.#current = parseResolvConf(text);
    this.#options.onChange(this.#current);
  }

  /** A file being rewritten is empty for a moment, and one change is several events. */
  #changed(): void {
    if (this.#settle !== undefined) return;
    this.#settle = setTimeout(() => {
      this.#settle = undefined;
      this.#reread();
    }, settleMs);
    this.#settle.unref();
  }

  #watchDirectories(): void {
    const wanted = directoriesOf(this.#options.path);
    for (const directory of this.#watchers.keys()) if (!wanted.has(directory)) this.#forget(directory);
    for (const directory of wanted) {
      if (this.#watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#changed());
        watcher.on("error", () => this.#forget(directory));
        this.#watchers.set(directory, watcher);
      } catch {
        // Gone or not watchable: the periodic reading finds out.
      }
    }
  }

  #forget(directory: string): void {
    this.#watchers.get(directory)?.close();
    this.#watchers.delete(directory);
  }
}

/** Where the path itself and the file it leads to can be replaced. */
function directoriesOf(path: string): Set<string> {
  const directories = new Set([dirname(path)]);
  try {
    directories.add(dirname(realpathSync(path)));
  } catch {
    // A dangling link: only its own directory can tell.
  }
  return directories;
}

/** A file that is gone names no resolver; one that cannot be read for a moment still says what it said `before`. */
function readText(path: string, before: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return isHostShort(error) ? before : "";
  }
}
