import { NexusError } from "../base/errors.ts";
import type { JsonObject } from "./qmp-lines.ts";
import type { GuestAgent } from "./qga.ts";

/** Up to `maxBytes` of a file in a guest, from `offset`. @throws NexusError `too-large` when it has more and `whole` was asked; `not-found` */
export async function readGuestFile(
  agent: GuestAgent,
  path: string,
  options: { maxBytes: number; offset?: number },
): Promise<{ bytes: Uint8Array; end: boolean }> {
  return withFile(agent, { path, mode: "r" }, async (handle) => {
    if (options.offset !== undefined && options.offset > 0)
      await agent.command("guest-file-seek", { handle, offset: options.offset, whence: "set" });
    const parts: Buffer[] = [];
    for (let left = options.maxBytes; left > 0;) {
      const { bytes, end } = await readPiece(agent, handle, Math.min(left, pieceBytes));
      parts.push(bytes);
      left -= bytes.length;
      if (end || bytes.length === 0) return { bytes: Buffer.concat(parts), end: true };
    }
    const more = await readPiece(agent, handle, 1);
    return { bytes: Buffer.concat(parts), end: more.bytes.length === 0 };
  });
}

/** Replaces a file's content, or makes it. Not in one step: whoever reads it meanwhile may see a part. */
export async function writeGuestFile(agent: GuestAgent, path: string, content: Uint8Array): Promise<void> {
  await withFile(agent, { path, mode: "w" }, async (handle) => {
    for (let at = 0; at < content.length; at += pieceBytes) await writePiece(agent, handle, content.subarray(at, at + pieceBytes));
    await agent.command("guest-file-flush", { handle });
  });
}

/** Opens, uses and closes. The mode is that of fopen(3). */
export async function withFile<T>(
  agent: GuestAgent,
  file: { path: string; mode: string },
  use: (handle: number) => Promise<T>,
): Promise<T> {
  const handle = await openGuestFile(agent, file);
  try {
    return await use(handle);
  } finally {
    if (!agent.closed) await agent.command("guest-file-close", { handle });
  }
}

/** @throws NexusError `not-found`, `runtime-failed` with the guest's words */
export async function openGuestFile(agent: GuestAgent, file: { path: string; mode: string }): Promise<number> {
  try {
    return Number(await agent.command("guest-file-open", file));
  } catch (error) {
    if (error instanceof NexusError && /No such file or directory/.test(error.message))
      throw new NexusError("not-found", `the guest has no ${file.path}`, { cause: error });
    throw error;
  }
}

export async function readPiece(agent: GuestAgent, handle: number, count: number): Promise<{ bytes: Buffer; end: boolean }> {
  const answer = (await agent.command("guest-file-read", { handle, count })) as JsonObject | undefined;
  const bytes = Buffer.from(String(answer?.["buf-b64"] ?? ""), "base64");
  return { bytes: bytes.subarray(0, count), end: answer?.["eof"] === true };
}

export async function writePiece(agent: GuestAgent, handle: number, bytes: Uint8Array): Promise<void> {
  const answer = (await agent.command("guest-file-write", { handle, "buf-b64": Buffer.from(bytes).toString("base64") })) as
    | JsonObject
    | undefined;
  if (Number(answer?.["count"]) !== bytes.length)
    throw new NexusError("runtime-failed", `the guest took ${String(answer?.["count"])} bytes of ${bytes.length}`);
}

const pieceBytes = 256 * 1024;
