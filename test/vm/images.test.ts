import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { testMini } from "../../scripts/test-mini.ts";
import { builtMiniVm } from "../../src/images/vm-mini.ts";
import { qcow2Bytes } from "../images/disk-samples.ts";
import { ImageServer } from "../images/image-server.ts";
import { MachineBed } from "./machine-bed.ts";

type ImageView = { reference: string; kind: string; format?: string; virtualBytes?: number; usedBy: string[] };

describe("images of virtual machines", { timeout: 180_000 }, () => {
  let bed: MachineBed;
  let server: ImageServer;
  before(async () => {
    bed = await MachineBed.make();
    server = await ImageServer.start();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  const listed = async (): Promise<ImageView[]> => JSON.parse(await bed.must("image", "ls", "--json")) as ImageView[];

  it("are fetched from an address, gone on with after a break, booted from, held, and removed", async () => {
    const content = qcow2Bytes();
    const half = content.length >> 1;
    const { url, reference, sha256 } = server.put("/x.qcow2", { content, etag: '"1"', cutAfter: (n) => (n === 1 ? half : undefined) });
    await bed.must("image", "pull", reference);
    assert.match(server.asked[1]?.range ?? "", /^bytes=[1-9]\d*-/, "the second try went on");
    const image = (await listed()).find((one) => one.reference === url);
    assert.deepEqual([image?.kind, image?.format, image?.virtualBytes, image?.usedBy], ["vm", "qcow2", 1 << 20, []]);
    // mini's kernel, to look at the disk from inside.
    const mini = builtMiniVm(testMini);
    assert.ok(mini !== undefined);
    await bed.create({ name: "deb", image: url, kernel: mini.kernel.path, initrd: mini.kernel.initrd, cmdline: "rdinit=/init" });
    const { out, err } = await bed.shell(
      "deb",
      "echo changed | dd of=/dev/vda conv=notrunc 2>/dev/null; head -c 8 /dev/vda; cat /sys/block/vda/size",
    );
    assert.equal(out, "changed\n2048\n", err);
    assert.equal(server.countOf("/x.qcow2"), 2, "it was not fetched again");
    const refused = await bed.nexus("image", "rm", url);
    assert.equal(refused.code, 5, refused.err);
    assert.match(refused.err, /is used by deb/);
    await bed.must("vm", "rm", "deb", "--force");
    await bed.must("image", "rm", url);
    assert.deepEqual(
      (await listed()).filter((one) => one.reference === url),
      [],
    );
    assert.equal(createHash("sha256").update(content).digest("hex"), sha256);
  });

  it("stay below a guest whose image has another meaning by now", async () => {
    const [first, second] = [qcow2Bytes(), qcow2Bytes()];
    const before = server.put("/moving.qcow2", { content: first });
    const mini = builtMiniVm(testMini);
    await bed.create(
      { name: "old", image: before.reference, kernel: mini?.kernel.path, initrd: mini?.kernel.initrd, cmdline: "rdinit=/init" },
      { start: false },
    );
    const now = server.put("/moving.qcow2", { content: second });
    await bed.must("image", "pull", now.url, "--checksum", `sha256:${now.sha256}`);
    await bed.must("vm", "start", "old");
    assert.equal((await bed.shell("old", "cat /sys/block/vda/size")).out, "2048\n");
    await bed.must("vm", "rm", "old", "--force");
    await bed.must("image", "rm", now.url);
  });

  it("with another checksum are refused, and nothing of them stays", async () => {
    const { url } = server.put("/bad.qcow2", { content: qcow2Bytes() });
    const wrong = `sha256:${"0".repeat(64)}`;
    const { code, err } = await bed.nexus("image", "pull", url, "--checksum", wrong);
    assert.equal(code, 4);
    assert.match(err, /bad\.qcow2.*sha256/s);
    const without = await bed.nexus("image", "pull", url);
    assert.equal(without.code, 2);
    assert.match(without.err, /needs the checksum/);
    assert.deepEqual(
      (await listed()).filter((one) => one.reference === url),
      [],
    );
  });

  it("can be built here, and are told from those of nodes", async () => {
    assert.match(await bed.must("image", "build", "mini"), /^mini {2}\d/);
    assert.equal((await listed()).find((one) => one.reference === "mini")?.kind, "vm");
    const { code, err } = await bed.nexus("image", "build", "maxi");
    assert.equal(code, 2);
    assert.match(err, /mini is what can be built/);
    assert.match((await bed.nexus("image", "pull", "debian-1", "--vm")).err, /no virtual machine image called debian-1/);
  });
});
