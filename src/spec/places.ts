/** The part of a process's surroundings that paths depend on. */
export type Surroundings = { uid: number; env: Readonly<Record<string, string | undefined>> };

export type Places = {
  /** What must outlive a reboot. */
  stateDir: string;
  /** What ends with a reboot: the socket and the guests' run-time files. */
  runDir: string;
  /** What can be made again: images. */
  cacheDir: string;
  socket: string;
};

/** Where the daemon of this host, root's, is met unless its configuration says otherwise. */
export const systemSocketPath = "/run/nexus/nexusd.sock";

/** The places of root's daemon (FHS) or of a user's own (XDG base directories). NEXUS_CACHE_DIR names another cache. */
export function defaultPlaces({ uid, env }: Surroundings): Places {
  const own = ownDirectories(env);
  const stateDir = uid === 0 ? "/var/lib/nexus" : `${own.state}/nexus`;
  const runDir = uid === 0 ? "/run/nexus" : (ownRunDirs({ uid, env })[0] ?? "");
  const cacheDir = absolute(env["NEXUS_CACHE_DIR"]) ?? (uid === 0 ? "/var/cache/nexus" : `${own.cache}/nexus`);
  return { stateDir, runDir, cacheDir, socket: `${runDir}/${socketName}` };
}

/** Where a user's own daemon may serve, best first. Sessions differ in what they are told of the same machine: cron knows no XDG_RUNTIME_DIR. */
export function ownSocketPaths(surroundings: Surroundings): string[] {
  return ownRunDirs(surroundings).map((directory) => `${directory}/${socketName}`);
}

const socketName = "nexusd.sock";

/** Without a run-time directory of the session the state directory serves: it is the user's alone, and nobody can be there first. */
function ownRunDirs({ uid, env }: Surroundings): string[] {
  const session = absolute(env["XDG_RUNTIME_DIR"]);
  const fallback = `${ownDirectories(env).state}/nexus/run`;
  return session === undefined ? [fallback, `/run/user/${uid}/nexus`] : [`${session}/nexus`, fallback];
}

function ownDirectories(env: Surroundings["env"]): { state: string; cache: string } {
  const home = env["HOME"] ?? "";
  return {
    state: absolute(env["XDG_STATE_HOME"]) ?? `${home}/.local/state`,
    cache: absolute(env["XDG_CACHE_HOME"]) ?? `${home}/.cache`,
  };
}

/** The base directory specification has relative paths ignored. */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith("/") === true ? path.replace(/(?<=.)\/+$/, "") : undefined;
}
