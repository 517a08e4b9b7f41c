import { spawn } from "node:child_process";
import { createReadStream, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, type Stats } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type tar from "tar-stream";
import { makeDisk } from "./sandbox-vm.ts";
import { failed, unpackDisk, usedBytes } from "./workspace-unpack.ts";

type Entry = Partial<tar.Header> & Pick<tar.Header, "name">;
type Workspace = { source: string; owner: { uid: number; gid: number } };

/**
 * A workspace's way into a virtual machine and back: a disk with all that is in it, and afterwards the differences. What the guest
 * made of the disk is read by debugfs(8) in a sandbox of its own, never by the kernel, and written by a process with the
 * owner's rights and no more.
 */
export class WorkspaceDisks {
  readonly #growthBytes: number;
  readonly #program: string;

  constructor(options: { growthBytes?: number; bubblewrap?: string } = {}) {
    this.#growthBytes = options.growthBytes ?? 1024 ** 3;
    this.#program = options.bubblewrap ?? "bwrap";
  }

  /** @throws NexusError `image-missing` */
  async make(file: string, { source, owner }: Workspace): Promise<void> {
    const bytes = Math.ceil(((await usedBytes(source)) * 1.1 + this.#growthBytes) / 4096) * 4096;
    await makeDisk(file, { directory: source, bytes, owner });
  }

  /** Makes the workspace what the disk holds, deletions included; files that are the same are not touched. @throws NexusError `runtime-failed` */
  async takeBack(file: string, workspace: Workspace, directory: string): Promise<void> {
    const staging = join(directory, "staging");
    rmSync(staging, { recursive: true, force: true });
    mkdirSync(staging, { mode: 0o700 });
    await unpackDisk(this.#program, { file, staging });
    await applyAs(staging, workspace);
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Hands the tree over as an archive, so that whoever writes needs to read nothing of ours. */
async function applyAs(staging: string, { source, owner }: Workspace): Promise<void> {
  const program = join(import.meta.dirname, "workspace-apply.ts");
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, source], {
    stdio: ["pipe", "ignore", "pipe"],
    cwd: "/",
    env: {},
    ...(process.getuid?.() === 0 ? { uid: owner.uid, gid: owner.gid } : {}),
  });
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(0, 2000)));
  const code = new Promise<number>((resolve, reject) => child.once("error", reject).once("close", (status) => resolve(status ?? 1)));
  const pack = (await import("tar-stream")).default.pack();
  const packing = packTree(pack, staging, "").then(() => pack.finalize());
  const carried = pipeline(pack, child.stdin).catch(() => undefined);
  await Promise.race([Promise.all([packing, carried]), code]);
  const status = await code;
  if (status !== 0) throw failed(said.trim() || `its files could not be written back (status ${status})`);
  await packing;
}

/** Plain files, directories and links; anything else a guest may have made has no meaning outside. */
async function packTree(pack: tar.Pack, root: string, below: string): Promise<void> {
  for (const name of readdirSync(join(root, below), { encoding: "buffer" })) {
    const text = name.toString();
    // A name that is no text could not be written under the same name.
    if (!Buffer.from(text).equals(name)) throw failed(`it has a file whose name is not UTF-8: ${JSON.stringify(text)}`);
    const path = join(below, text);
    const file = join(root, path);
    const stat = lstatSync(file);
    const header = { name: path, mode: stat.mode & 0o7777 & ~0o6000, mtime: stat.mtime };
    if (stat.isDirectory()) {
      await entry(pack, { ...header, type: "directory" });
      await packTree(pack, root, path);
    } else if (stat.isSymbolicLink()) await entry(pack, { ...header, type: "symlink", linkname: readlinkSync(file) });
    else if (stat.isFile()) await packFile(pack, { ...header, type: "file", size: stat.size }, file, stat);
  }
}

function entry(pack: tar.Pack, header: Entry): Promise<void> {
  return new Promise((resolve, reject) => pack.entry(header, "", (error) => (error ? reject(error) : resolve())));
}

async function packFile(pack: tar.Pack, header: Entry, file: string, stat: Stats): Promise<void> {
  if (stat.size === 0) return entry(pack, header);
  await pipeline(createReadStream(file), pack.entry(header));
}
