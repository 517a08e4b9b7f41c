import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

/** Debian's registry server on a free port of this host, with nothing in it. */
export class TestRegistry implements AsyncDisposable {
  readonly host: string;
  readonly #child: ChildProcess;
  readonly #directory: string;

  static readonly installed = existsSync("/usr/bin/docker-registry");

  static async start(): Promise<TestRegistry> {
    const directory = mkdtempSync(join(tmpdir(), "nexus-registry-"));
    const port = await freePort();
    const config = join(directory, "config.yml");
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
    );
    const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    const registry = new TestRegistry(`127.0.0.1:${port}`, child, directory);
    const end = performance.now() + 10_000;
    while (
      !(await fetch(`http://${registry.host}/v2/`).then(
        (r) => r.ok,
        () => false,
      ))
    ) {
      if (performance.now() > end) throw new Error("the registry did not come up");
      await delay(20);
    }
    return registry;
  }

  private constructor(host: string, child: ChildProcess, directory: string) {
    this.host = host;
    this.#child = child;
    this.#directory = directory;
  }

  /** Uploads what a client will fetch; returns the digest. */
  async pushBlob(repository: string, bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    const begun = await fetch(`http://${this.host}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    const place = new URL(begun.headers.get("location") ?? "", `http://${this.host}`);
    place.searchParams.set("digest", digest);
    const done = await fetch(place, {
      method: "PUT",
      body: bytes as Uint8Array<ArrayBuffer>,
      headers: { "content-type": "application/octet-stream" },
    });
    if (done.status !== 201) throw new Error(`push: ${done.status} ${await done.text()}`);
    return digest;
  }

  async pushManifest(repository: string, tag: string, document: { mediaType: string }): Promise<{ digest: string; size: number }> {
    const body = Buffer.from(JSON.stringify(document));
    const done = await fetch(`http://${this.host}/v2/${repository}/manifests/${tag}`, {
      method: "PUT",
      body,
      headers: { "content-type": document.mediaType },
    });
    if (done.status !== 201) throw new Error(`push: ${done.status} ${await done.text()}`);
    return { digest: digestOf(body), size: body.length };
  }

  /** A whole image from the entries of its layers. */
  async pushImage(repository: string, tag: string, image: TestImage): Promise<{ digest: string; size: number }> {
    const kind = image.kind ?? "oci";
    const layers: unknown[] = [];
    const diffIds: string[] = [];
    for (const layer of image.layers) {
      const tar = await tarOf(layer.entries);
      const packed = layer.compression === "zstd" ? zstdCompressSync(tar) : layer.compression === "none" ? tar : gzipSync(tar);
      diffIds.push(layer.diffId ?? digestOf(tar));
      layers.push({
        mediaType: layerType(kind, layer.compression ?? "gzip"),
        digest: await this.pushBlob(repository, packed),
        size: packed.length,
      });
    }
    const config = Buffer.from(
      JSON.stringify({ os: "linux", architecture: "amd64", config: image.config ?? {}, rootfs: { type: "layers", diff_ids: diffIds } }),
    );
    const mediaType =
      kind === "oci" ? "application/vnd.oci.image.manifest.v1+json" : "application/vnd.docker.distribution.manifest.v2+json";
    const configType = kind === "oci" ? "application/vnd.oci.image.config.v1+json" : "application/vnd.docker.container.image.v1+json";
    return this.pushManifest(repository, tag, {
      schemaVersion: 2,
      mediaType,
      config: { mediaType: configType, digest: await this.pushBlob(repository, config), size: config.length },
      layers,
    } as { mediaType: string });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export type TestEntry = Partial<Header> & { name: string; content?: string | Buffer };
export type TestImage = {
  kind?: "oci" | "docker";
  layers: { entries: TestEntry[]; compression?: "none" | "gzip" | "zstd"; diffId?: string }[];
  config?: Record<string, unknown>;
};

export async function tarOf(entries: TestEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) tar.entry({ mtime: new Date(1_700_000_000_000), ...header }, content ?? "");
  tar.finalize();
  const parts: Buffer[] = [];
  for await (const part of tar) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function layerType(kind: "oci" | "docker", compression: string): string {
  if (kind === "docker") return "application/vnd.docker.image.rootfs.diff.tar.gzip";
  return `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
