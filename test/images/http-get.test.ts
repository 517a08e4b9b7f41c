import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { httpGetText, redirectTarget } from "../../src/images/http-get.ts";
import { TransferProgress, transferText } from "../../src/images/transfer-progress.ts";
import { ImageServer } from "./image-server.ts";

const options = { signal: AbortSignal.timeout(60_000), idleMs: 20_000 };

describe("fetching a document", () => {
  it("is refused when it is too large", async () => {
    await using server = await ImageServer.start();
    const { url } = server.put("/list", { content: Buffer.alloc(1000, 65), chunked: true });
    assert.equal((await httpGetText(url, options, 1000)).length, 1000);
    await assert.rejects(httpGetText(url, options, 999), (error) => error instanceof NexusError && error.code === "too-large");
  });

  it("follows a redirect to https and never from there to http", () => {
    const [plain, secure] = [new URL("http://a.example/x/y"), new URL("https://a.example/x/y")];
    assert.equal(redirectTarget(plain, "https://b.example/z").href, "https://b.example/z");
    assert.equal(redirectTarget(plain, "http://b.example/z").href, "http://b.example/z");
    assert.equal(redirectTarget(secure, "../z?q=1").href, "https://a.example/z?q=1");
    for (const location of ["http://a.example/z", "file:///etc/passwd", "ftp://a.example/", "https://"])
      assert.throws(
        () => redirectTarget(secure, location),
        (error) => error instanceof NexusError && error.code === "image-missing",
        location,
      );
  });
});

describe("a transfer's progress", () => {
  it("tells bytes, share, rate and time left, at most twice a second", () => {
    let now = 0;
    const lines: string[] = [];
    const progress = new TransferProgress((line) => lines.push(line), { now: () => 0, monotonic: () => now });
    for (now = 0; now <= 3000; now += 100) progress.update(now * 10_000, 100_000_000);
    assert.equal(lines.length, 6);
    assert.equal(lines[0], "5.0 MB of 100.0 MB (5%), 10.0 MB/s, 10 s left");
    assert.equal(lines[5], "30.0 MB of 100.0 MB (30%), 10.0 MB/s, 7 s left");
    now = 4000;
    progress.update(0, 100_000_000);
    assert.equal(lines.at(-1), "0.0 MB of 100.0 MB (0%)");
  });

  it("leaves out what it cannot know, and rounds long times", () => {
    assert.equal(transferText(1_000_000, undefined, 500_000), "1.0 MB, 0.5 MB/s");
    assert.equal(transferText(0, 1_000_000, 0), "0.0 MB of 1.0 MB (0%), 0.0 MB/s");
    assert.equal(transferText(0, 600_000_000, 1_000_000), "0.0 MB of 600.0 MB (0%), 1.0 MB/s, 10 min left");
    assert.equal(transferText(0, 36_000_000_000, 1_000_000), "0.0 MB of 36000.0 MB (0%), 1.0 MB/s, 10 h left");
  });
});
