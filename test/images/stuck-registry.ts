import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { digestOf, tarOf, type TestEntry } from "./test-registry.ts";

/** A registry of one image whose answers stop where the test says. */
export class StuckRegistry implements AsyncDisposable {
  readonly host: string;
  readonly digest: string;
  /** Requests so far, by their last path part. */
  readonly asked: string[];
  readonly #close: () => Promise<void>;

  /** `stall` names requests (`manifests` or `blobs`) and how many bytes of their answers come; none without a number. */
  static async start(image: { entries: TestEntry[][]; stall: (n: number, path: string) => number | undefined }): Promise<StuckRegistry> {
    const blobs = new Map<string, Buffer>();
    const put = (bytes: Buffer) => {
      blobs.set(digestOf(bytes), bytes);
      return { digest: digestOf(bytes), size: bytes.length };
    };
    const layers: unknown[] = [];
    const diffIds: string[] = [];
    for (const entries of image.entries) {
      const tar = await tarOf(entries);
      diffIds.push(digestOf(tar));
      layers.push({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(gzipSync(tar)) });
    }
    const config = put(
      Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", config: {}, rootfs: { type: "layers", diff_ids: diffIds } })),
    );
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers,
      }),
    );
    const asked: string[] = [];
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      const path = request.url ?? "/";
      const bytes = path.includes("/manifests/") ? manifest : blobs.get(path.slice(path.lastIndexOf("/") + 1));
      const most = image.stall(asked.push(path), path);
      if (bytes === undefined) return void response.writeHead(404).end();
      if (most === undefined) return void response.writeHead(200, { "content-type": mediaType }).end(bytes);
      if (most > 0) response.writeHead(200, { "content-type": mediaType, "content-length": bytes.length }).write(bytes.subarray(0, most));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return new StuckRegistry({
      host: `127.0.0.1:${typeof address === "object" ? address?.port : ""}`,
      digest: digestOf(manifest),
      asked,
      async close() {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      },
    });
  }

  private constructor(made: { host: string; digest: string; asked: string[]; close: () => Promise<void> }) {
    this.host = made.host;
    this.digest = made.digest;
    this.asked = made.asked;
    this.#close = made.close;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}
