import { chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { connect } from "node:net";
import { once } from "node:events";
import { dirname } from "node:path";
import { NexusError } from "../base/errors.ts";

/** Serves on a unix socket of mode 0660, owned by the group when the host has it. A socket left by a dead daemon is replaced; anything else is refused. */
export async function listenUnix(server: Server, path: string, group: string | undefined): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  await removeStale(path);
  const gid = group === undefined ? undefined : groupId(group);
  // The socket must never be open to all, not even between bind and chmod; bind happens inside listen().
  const mask = process.umask(0o117);
  try {
    server.listen({ path, backlog: 1024 });
  } finally {
    process.umask(mask);
  }
  await once(server, "listening");
  if (gid !== undefined) chownSync(path, process.getuid?.() ?? 0, gid);
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
