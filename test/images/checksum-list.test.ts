import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { formatChecksum, parseChecksum } from "../../src/images/checksum.ts";
import { findChecksum, parseChecksumList } from "../../src/images/checksum-list.ts";

const a = "a".repeat(64);
const b = "b".repeat(128);

describe("a publisher's list of checksums", () => {
  for (const [form, text, file] of [
    ["sha256sum", `${"0".repeat(64)}  other.img\n${a}  disk.img\n`, "disk.img"],
    ["sha256sum in binary mode", `${a} *disk.img\r\n`, "disk.img"],
    ["sha256sum with directories", `${a}  ./images/disk.img\n`, "disk.img"],
    ["sha256sum --tag", `SHA256 (disk.img) = ${a}\n`, "disk.img"],
    ["BSD's sha256", `SHA256(disk (1).img)= ${a}\n`, "disk (1).img"],
    ["digits alone", `${a}\n`, "disk.img"],
    ["upper case", `${a.toUpperCase()}  disk.img`, "disk.img"],
    [
      "a signed message",
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.img: 12 bytes\nSHA256 (disk.img) = ${a}\n-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n`,
      "disk.img",
    ],
  ] as const) {
    it(`is read as ${form} writes it`, () => {
      assert.deepEqual(findChecksum(parseChecksumList(text), file), { algorithm: "sha256", hex: a });
    });
  }

  it("gives the strongest sum it has, and none that is weak", () => {
    const list = parseChecksumList(`${a}  disk.img\n${b}  disk.img\n${"c".repeat(32)}  weak.img\n${"d".repeat(40)}  weak.img\n`);
    assert.deepEqual(findChecksum(list, "disk.img"), { algorithm: "sha512", hex: b });
    assert.equal(findChecksum(list, "weak.img"), undefined);
    assert.equal(findChecksum(list, "img"), undefined);
  });

  it("is not believed when it contradicts itself, and sums without a name only when there is one", () => {
    const twice = parseChecksumList(`${a}  disk.img\n${"e".repeat(64)}  old/disk.img\n`);
    assert.throws(() => findChecksum(twice, "disk.img"), WireError);
    assert.equal(findChecksum(parseChecksumList(`${a}\n${b}\n`), "disk.img"), undefined);
  });

  it("of any text is read or left out", () => {
    const piece = fc.oneof(fc.string(), fc.constantFrom(a, b, "  ", " *", "\n", "SHA256 (", ") = ", "\\", "x.img", "\r\n"));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const list = parseChecksumList(pieces.join(""));
        for (const { checksum } of list) assert.deepEqual(parseChecksum(formatChecksum(checksum)), checksum);
        try {
          findChecksum(list, "x.img");
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
    );
  });

  it("comes back from what was written, in either form", () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._ ()+-]{0,40}[a-z0-9]$/);
    const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex"));
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, hex), { minLength: 1, selector: ([file]) => file }), fc.boolean(), (entries, tagged) => {
        const list = parseChecksumList(entries.map(([file, sum]) => (tagged ? `SHA256 (${file}) = ${sum}` : `${sum}  ${file}`)).join("\n"));
        for (const [file, sum] of entries) assert.deepEqual(findChecksum(list, file), { algorithm: "sha256", hex: sum });
      }),
    );
  });
});

describe("a checksum", () => {
  it("names its kind and has that kind's digits", () => {
    assert.deepEqual(parseChecksum(`sha256:${a.toUpperCase()}`), { algorithm: "sha256", hex: a });
    assert.deepEqual(parseChecksum(`sha512:${b}`), { algorithm: "sha512", hex: b });
    for (const text of ["", a, "md5:00", `sha256:${b}`, `sha512:${a}`, "sha256:", `sha256:${a}g`, `sha256: ${a}`])
      assert.throws(
        () => parseChecksum(text),
        (error) => error instanceof NexusError && error.code === "usage",
        text,
      );
  });
});
