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
