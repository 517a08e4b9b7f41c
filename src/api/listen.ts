import { chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { connect } from "node:net";
import { once } from "node:events";
import { dirname } from "node:path";
import { NexusError, SpecError } from "../base/errors.ts";

/** Who may open the socket: root and a group of the host, when it has that group; or the daemon's own user alone. */
export type Audience = { kind: "group"; name: string } | { kind: "owner" };

/**
 * Serves on a unix socket of mode 0660 or, for its owner alone, 0600. A socket left by a dead daemon is replaced; anything else is
 * refused. @throws NexusError daemon-running; SpecError when the path is too long
 */
export async function listenUnix(server: Server, path: string, audience: Audience): Promise<void> {
  refuseLong(path);
  const alone = audience.kind === "owner";
  mkdirSync(dirname(path), { recursive: true, mode: alone ? 0o700 : 0o755 });
  await removeStale(path);
  const gid = alone ? undefined : groupId(audience.name);
  // The socket must never be open to all, not even between bind and chmod; bind happens inside listen().
  const mask = process.umask(alone ? 0o177 : 0o117);
  try {
    server.listen({ path, backlog: 1024 });
  } finally {
    process.umask(mask);
  }
  await once(server, "listening");
  if (gid !== undefined) chownSync(path, process.getuid?.() ?? 0, gid);
}

/** unix(7): sun_path has 108 bytes and ends in a zero. */
const longestPath = 107;

function refuseLong(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= longestPath) return;
  const hint = "set XDG_RUNTIME_DIR to a shorter directory of your own, or name another with --socket";
  throw new SpecError([{ path: "socket", problem: `${path} has ${bytes} bytes; a socket's path has at most ${longestPath}`, hint }]);
}

/** The id of a local group (group(5)), or undefined when there is none of that name. */
export function groupId(name: string, file = "/etc/group"): number | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  for (const line of text.split("\n")) {
    const [groupName, , id] = line.split(":");
    if (groupName === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new NexusError("daemon-running", `${path} exists and is no socket`, { hint: "move it away or choose another --socket" });
  if (await answers(path)) {
    throw new NexusError("daemon-running", `a daemon serves ${path} already`, {
      hint: "stop it with `nexus daemon stop`, or choose another --socket",
    });
  }
  // The name may have passed to a new daemon meanwhile; only the socket that was found dead may go.
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now?.ino === found.ino) unlinkSync(path);
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(2000) });
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code !== "ECONNREFUSED" && code !== "ENOENT";
  } finally {
    socket.destroy();
  }
}
