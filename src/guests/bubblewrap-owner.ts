import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { directoryTree, holdDirectory, mapOwners, userNamespaceOf } from "../kernel/mount-trees.ts";

export type Ids = { uid: number; gid: number };

/** A workspace ready to be mounted: its files belong, as far as that mount goes, to the run; or the run must be their owner. */
export type WorkspaceTree = Disposable & { tree: Fd; as: "run" | "owner" };

/**
 * Every sandbox is a user of the host that nobody else is, neither a person nor another sandbox: it owns no file and no process,
 * and what the kernel counts by user is counted for it alone. A workspace is mounted with its owner's files shown as that user's,
 * so that files made there belong to the owner.
 */
export class Identities implements Disposable {
  readonly #taken = new Set<number>();
  readonly #maps = new Map<string, Promise<Fd>>();

  /** A user nobody else is until it is given back. */
  take(): Disposable & { ids: Ids } {
    let slot = 0;
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    return { ids: { uid: firstId + slot, gid: firstId + slot }, [Symbol.dispose]: () => this.#taken.delete(slot) };
  }

  /** Holds the directory itself: nobody can put another in its place. @throws KernelError: ELOOP when a part of its path is a link */
  async workspace({ source, owner }: { source: string; owner: Ids }, run: Ids): Promise<WorkspaceTree> {
    using directory = holdDirectory(source);
    const map = await this.#map(owner, run);
    const tree = directoryTree(directory);
    return { tree, as: mapOwners(tree, map) ? "run" : "owner", [Symbol.dispose]: () => tree[Symbol.dispose]() };
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps.values()) {
      map.then(
        (fd) => fd[Symbol.dispose](),
        () => undefined,
      );
    }
    this.#maps.clear();
  }

  #map(owner: Ids, run: Ids): Promise<Fd> {
    const key = `${owner.uid}:${owner.gid}:${run.uid}`;
    const known = this.#maps.get(key);
    if (known !== undefined) return known;
    const made = makeMap(extents(owner.uid, run.uid), extents(owner.gid, run.gid));
    this.#maps.set(key, made);
    // The next run tries again.
    made.catch(() => this.#maps.delete(key));
    return made;
  }
}

/** Who must run where the owners of files cannot be mapped. @throws NexusError `unsupported` for root's: nothing may run as the host's root */
export function ownerMayRun({ source, owner }: { source: string; owner: Ids }): Ids {
  if (owner.uid !== 0) return owner;
  throw new NexusError(
    "unsupported",
    `${source} belongs to root, and its file system cannot show its files as another user's: nothing untrusted runs as root`,
    { hint: "use a directory on ext4, xfs, btrfs or tmpfs (from Linux 6.3), or one that belongs to an ordinary user" },
  );
}

/** Above what systems give to people, to services (61184-65519), to containers and to directory services' users. */
const firstId = 2_113_929_216;

/** The owner's files are the run's; all others keep their owners, but for those of the run's own number, whom nobody is. */
function extents(owner: number, run: number): string {
  const [low, high] = [Math.min(owner, run), Math.max(owner, run)];
  const kept = [
    [0, low],
    [low + 1, high],
    [high + 1, lastId],
  ].filter(([from = 0, to = 0]) => to > from);
  const same = kept.map(([from = 0, to = 0]) => `${from} ${from} ${to - from}`);
  return [...same, `${owner} ${run} 1`].join("\n");
}

/** (uid_t) -1 is nobody's number. */
const lastId = 2 ** 32 - 1;

/** A user namespace that maps these ids. A map is written from outside, once, so somebody is in it for a moment. */
async function makeMap(uids: string, gids: string): Promise<Fd> {
  const child = spawn("unshare", ["--user", "sh", "-c", "echo; read _"], { stdio: ["pipe", "pipe", "ignore"], cwd: "/" });
  try {
    const failed = new Promise<undefined>((resolve) => {
      child.once("error", () => resolve(undefined));
      child.once("exit", () => resolve(undefined));
    });
    const said = await Promise.race([once(child.stdout, "data"), failed]);
    if (said === undefined || child.pid === undefined)
      throw new NexusError("unsupported", "no user namespace can be made by unshare", { hint: "`nexus doctor` tells why" });
    writeFileSync(`/proc/${child.pid}/uid_map`, uids);
    writeFileSync(`/proc/${child.pid}/gid_map`, gids);
    return userNamespaceOf(child.pid);
  } finally {
    child.kill("SIGKILL");
  }
}
