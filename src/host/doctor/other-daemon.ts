import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tryLockFile } from "../../sys/lock.ts";
import { connectUnix, peerCredentials } from "../../sys/unix-socket.ts";
import type { Check, DoctorContext } from "./report.ts";

/** One state directory, one daemon, and the socket must lead to it. */
export const otherDaemon: Check = {
  name: "daemon",
  needed: false,
  probe(context) {
    const answers = whoAnswers(context.socketPath);
    const holds = whoHolds(context);
    if (holds === undefined && answers === undefined) return { ok: "ok", detail: `no nexusd runs on ${context.stateDirectory}` };
    if (holds !== undefined && answers === undefined) {
      const detail = `nexusd (pid ${holds}) holds ${context.stateDirectory} but does not answer on ${context.socketPath}`;
      return { ok: "warn", detail, remedy: `look at its log, name its socket with --socket, or end it: kill ${holds}` };
    }
    if (holds !== answers) {
      const held = holds === undefined ? "nobody" : `pid ${holds}`;
      const detail = `pid ${answers} answers on ${context.socketPath}, but ${held} holds ${context.stateDirectory}`;
      return { ok: "warn", detail, remedy: "two daemons need different sockets, state directories and network namespaces: stop one" };
    }
    return { ok: "ok", detail: `nexusd (pid ${holds}${holds === context.daemonPid ? ", this one" : ""}) serves ${context.stateDirectory}` };
  },
};

function whoAnswers(socketPath: string): number | undefined {
  using connection = connectUnix(socketPath);
  return connection === undefined ? undefined : peerCredentials(connection).pid;
}

/** The lock is only tried where its file is already, and let go at once. */
function whoHolds(context: DoctorContext): number | undefined {
  const file = join(context.stateDirectory, "nexusd.lock");
  if (!existsSync(file)) return undefined;
  using free = tryLockFile(file);
  return free === undefined ? Number.parseInt(readFileSync(file, "utf8"), 10) : undefined;
}
