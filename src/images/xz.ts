import { spawn } from "node:child_process";
import { once } from "node:events";
import { pipeline, type Readable } from "node:stream";
import { NexusError } from "../base/errors.ts";

/** Unpacks by the host's xz, for which Node has no reader. @throws NexusError `runtime-missing`, `image-missing` when it is damaged */
export async function* throughXz(packed: Readable): AsyncGenerator<Buffer> {
  const child = spawn("xz", ["--decompress", "--stdout", "--memlimit-decompress=512MiB"], { stdio: ["pipe", "pipe", "pipe"], cwd: "/" });
  const missing = new Promise<never>((_, reject) => {
    child.once("error", (cause) =>
      reject(
        new NexusError("runtime-missing", "xz is not installed", { cause, hint: "apt-get install xz-utils, or pack it by gzip or zstd" }),
      ),
    );
  });
  missing.catch(() => undefined);
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => (said = `${said}${bytes.toString()}`.slice(0, 1000)));
  const ended = once(child, "close") as Promise<[number | null]>;
  ended.catch(() => undefined);
  // An archive that cannot be read ends the child's input early, and then its own words say so.
  pipeline(packed, child.stdin, () => undefined);
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const [code] = await Promise.race([ended, missing]);
    if (code !== 0)
      throw new NexusError("image-missing", `xz cannot unpack the archive: ${said.trim()}`, { hint: "it is damaged: fetch it again" });
  } finally {
    child.kill("SIGKILL");
  }
}
