import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../src/base/errors.ts";
import { aliasNames, findAlias } from "../../src/images/vm-aliases.ts";
import { parseVmReference, withChecksum } from "../../src/images/vm-reference.ts";

const sum = `sha256:${"a".repeat(64)}`;
const fails = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof NexusError && error.code === code && words.test(`${error.message} (${error.hint})`);

describe("a virtual machine image's reference", () => {
  it("is mini, an alias, a URL with its checksum, or a path", () => {
    assert.deepEqual(parseVmReference("mini"), { kind: "mini" });
    assert.deepEqual(parseVmReference("debian-12"), { kind: "alias", name: "debian-12" });
    assert.deepEqual(parseVmReference("/var/disks/a.qcow2"), { kind: "file", path: "/var/disks/a.qcow2" });
    assert.deepEqual(parseVmReference("https://Example.org/a.img"), {
      kind: "url",
      url: "https://example.org/a.img",
      checksum: undefined,
    });
    const withSum = parseVmReference(`https://example.org/a.img?x=1#${sum}`);
    assert.deepEqual(withSum, {
      kind: "url",
      url: "https://example.org/a.img?x=1",
      checksum: { algorithm: "sha256", hex: "a".repeat(64) },
    });
    assert.deepEqual(withChecksum(parseVmReference("https://example.org/a.img?x=1"), sum), withSum);
    assert.deepEqual(withChecksum(withSum, sum), withSum);
  });

  it("that is none is refused with what was meant", () => {
    assert.throws(() => parseVmReference("debain-12"), fails("image-missing", /did you mean debian-12\?/));
    assert.throws(() => parseVmReference("windows"), fails("image-missing", /known are mini, .*ubuntu-24\.04/));
    assert.throws(() => parseVmReference("./disk.qcow2"), fails("usage", /whole path/));
    assert.throws(() => parseVmReference("disk.img"), fails("usage", /whole path/));
    assert.throws(() => parseVmReference("ftp://example.org/a.img"), fails("usage", /no http or https/));
    assert.throws(() => parseVmReference("https://"), fails("usage", /no http or https/));
    assert.throws(() => parseVmReference("https://me:secret@example.org/a"), fails("usage", /^(?!.*secret).*password/));
    assert.throws(() => parseVmReference("https://example.org/a#sha256:12"), fails("usage", /64 hexadecimal digits, not 2/));
    assert.throws(() => withChecksum(parseVmReference("debian-12"), sum), fails("usage", /publisher's list/));
    assert.throws(
      () => withChecksum(parseVmReference(`https://example.org/a#${sum}`), `sha256:${"b".repeat(64)}`),
      fails("usage", /two different/),
    );
  });

  it("of any text is one of these or a NexusError", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.webUrl({ withFragments: true }), fc.constantFrom("constructor", "__proto__", "toString")),
        (text) => {
          try {
            parseVmReference(text);
          } catch (error) {
            assert.ok(error instanceof NexusError, String(error));
          }
        },
      ),
    );
  });
});

describe("aliases", () => {
  it("lead by https to an image and to its publisher's list, for both kinds of processor", () => {
    for (const name of aliasNames) {
      const [x64, arm64] = (["x64", "arm64"] as const).map((arch) => findAlias(name, { arch }));
      for (const alias of [x64, arm64]) {
        assert.match(alias?.url ?? "", /^https:\/\/[^/]+\/.*\.(qcow2|img)$/, name);
        assert.match(alias?.checksums ?? "", /^https:\/\/[^/]+\/.*(SUMS|CHECKSUM|\.sha512)$/, name);
      }
      assert.match(x64?.url ?? "", /amd64|x86_64/, name);
      assert.match(arm64?.url ?? "", /arm64|aarch64/, name);
    }
    assert.equal(findAlias("debian", { arch: "x64" })?.name, "debian-13");
    assert.equal(findAlias("toString", { arch: "x64" }), undefined);
    assert.equal(
      findAlias("debian-12", { arch: "x64", bases: { debian: "http://127.0.0.1:1" } })?.url,
      "http://127.0.0.1:1/bookworm/latest/debian-12-generic-amd64.qcow2",
    );
  });
});
