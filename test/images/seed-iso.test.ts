import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { type SeedFile, writeSeedIso } from "../../src/images/seed-iso.ts";

const file = (name: string, text: string): SeedFile => ({ name, content: Buffer.from(text) });
const seed = [
  file("user-data", "#cloud-config\n{}\n"),
  file("meta-data", "m".repeat(5000)),
  file("network-config", "version: 2\n"),
  file("vendor-data", ""),
];

describe("a cloud-init seed", () => {
  let directory: string;
  let image: string;
  const isoinfo = (...args: string[]): Buffer => execFileSync("isoinfo", [...args, "-i", image]);
  const write = (files: readonly SeedFile[]): void => writeFileSync(image, writeSeedIso(files));
  /** Names another program finds in it, by one of the three ways a name is kept. */
  const namesBy = (...way: string[]): string[] =>
    isoinfo(...way, "-f")
      .toString()
      .trim()
      .split("\n")
      .filter((name) => name !== "")
      .map((name) => name.slice(1))
      .toSorted();

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "nexus-seed-"));
    image = join(directory, "seed.iso");
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("is a volume called cidata, with Joliet and Rock Ridge", () => {
    write(seed);
    const said = isoinfo("-d").toString();
    assert.match(said, /^Volume id: cidata$/m);
    assert.match(said, /Joliet with UCS level 3 found/);
    assert.match(said, /Rock Ridge signatures version 1 found/);
    const label = execFileSync("blkid", ["-p", "-s", "LABEL", "-s", "TYPE", "-o", "export", image], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    });
    assert.match(label, /^LABEL=cidata$/m);
    assert.match(label, /^TYPE=iso9660$/m);
  });

  it("has its files under their names, and short ones for who knows no others, each with its content", () => {
    write(seed);
    const names = seed.map((one) => one.name).toSorted();
    assert.deepEqual(namesBy("-R"), names);
    assert.deepEqual(namesBy("-J"), names);
    assert.deepEqual(namesBy(), ["META_D01.;1", "NETWOR02.;1", "USER_D00.;1", "VENDOR03.;1"]);
    for (const way of ["-R", "-J"]) {
      for (const one of seed) assert.deepEqual(isoinfo(way, "-x", `/${one.name}`), Buffer.from(one.content), `${way} ${one.name}`);
    }
    assert.match(isoinfo("-R", "-l").toString(), /^-r-------- +1 +0 +0 +17 .* user-data/m);
  });

  it("is the same for the same files, and whole sectors", () => {
    const bytes = writeSeedIso(seed);
    assert.deepEqual(writeSeedIso(seed), bytes);
    assert.equal(bytes.length % 2048, 0);
    // The kernel reads both; a check sum between the two orders is all the form has.
    assert.equal(Buffer.from(bytes).readUInt32LE(16 * 2048 + 80), bytes.length / 2048);
    assert.equal(Buffer.from(bytes).readUInt32BE(16 * 2048 + 84), bytes.length / 2048);
  });

  it("keeps any content", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 4 }), (contents) => {
        const files = contents.map((content, i) => ({ name: `file-${i}`, content }));
        write(files);
        for (const one of files) assert.deepEqual(isoinfo("-J", "-x", `/${one.name}`), Buffer.from(one.content));
      }),
      { numRuns: 15 },
    );
  });

  it("refuses what does not fit", () => {
    assert.throws(() => writeSeedIso([file("a", ""), file("a", "")]), RangeError);
    assert.throws(() => writeSeedIso([file("n".repeat(200), "")]), RangeError);
    assert.throws(() => writeSeedIso(Array.from({ length: 40 }, (_, i) => file(`file-${i}`, ""))), RangeError);
  });
});
