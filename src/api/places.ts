/** Where the daemon of this host (root's) is met unless its configuration says otherwise. */
export const systemSocketPath = "/run/nexus/nexusd.sock";
export const systemStateDir = "/var/lib/nexus";

/** The socket to try, best first: a user's own daemon before the host's. The same places as spec/config.ts gives the daemon, without loading schemas. */
export function socketCandidates({ uid, env }: { uid: number; env: Readonly<Record<string, string | undefined>> }): string[] {
  if (uid === 0) return [systemSocketPath];
  return [`${env["XDG_RUNTIME_DIR"] ?? `/run/user/${uid}`}/nexus/nexusd.sock`, systemSocketPath];
}

/** The daemon's log inside a state directory when nobody else keeps it. */
export const daemonLogName = "nexusd.log";

/** What the command line of the daemon may say; the configuration file and defaults fill the rest. */
export type DaemonOptions = {
  configFile?: string;
  stateDir?: string;
  runDir?: string;
  socketPath?: string;
  /** Check this host and end. */
  doctor: boolean;
  /** With doctor: mend what can be mended. */
  fix?: boolean;
  json: boolean;
};
