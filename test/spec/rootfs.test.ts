import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../src/spec/config-file.ts";
import { readRootfs } from "../../src/spec/rootfs.ts";

const sum = "ab".repeat(32);

test("a root file system is host, auto, a path, or an address with its sum", () => {
  assert.deepEqual(["host", "auto", "/srv/a b"].map(readRootfs), [{ kind: "host" }, { kind: "auto" }, { kind: "path", path: "/srv/a b" }]);
  assert.deepEqual(readRootfs(`HTTPS://Example.org/root.tar.xz?x=1#SHA256:${sum.toUpperCase()}`), {
    kind: "url",
    url: "https://example.org/root.tar.xz?x=1",
    checksum: { algorithm: "sha256", hex: sum },
  });
  const long = readRootfs(`http://example.org/r#sha512:${sum}${sum}`);
  assert.ok(typeof long === "object" && long.kind === "url" && long.checksum.algorithm === "sha512");
});

test("anything else is told what is wrong with it", () => {
  for (const [text, problem] of [
    ["", /^must be host, auto, a path that starts with \/, or an address with its sum: URL#sha256:DIGITS$/],
    ["./root", /^must be host, auto/],
    ["/a\0b", /^must be host, auto/],
    ["https://example.org/r", /^needs the sum/],
    ["https://example.org/r#md5:abc", /^needs the sum/],
    [`https://example.org/r#sha256:${sum.slice(1)}`, /^has a sha256 of 63 hexadecimal digits, where it has 64$/],
    [`https://example.org/r#sha256:${sum.slice(1)}x`, /^needs the sum/],
    [`https://me:secret@example.org/r#sha256:${sum}`, /^must not have a password in it/],
    [`ftp://example.org/r#sha256:${sum}`, /^is no http or https address$/],
    ["http://", /^is no http or https address$/],
  ] as const) {
    const read = readRootfs(text);
    assert.ok(typeof read === "string", text);
    assert.match(read, problem, text);
  }
});

test("the configuration has one, and an address for each kind of processor", () => {
  const { sandbox } = parseConfig(`sandbox:\n  rootfs: auto\n  rootfs_amd64: "https://example.org/r#sha256:${sum}"\n`, "nexus.yaml");
  assert.deepEqual(sandbox, { rootfs: "auto", rootfs_amd64: `https://example.org/r#sha256:${sum}`, rootfs_arm64: "none" });
  for (const [text, problem] of [
    ["sandbox: {rootfs: root}", /nexus\.yaml:1:19: sandbox\.rootfs: must be host/],
    ["sandbox: {rootfs_amd64: /srv/root}", /sandbox\.rootfs_amd64: must be an address with its sum, URL#sha256:DIGITS, or none$/],
    ["sandbox: {rootfs_arm64: 'https://example.org/r'}", /sandbox\.rootfs_arm64: needs the sum/],
    ["sandbox: {rootfs: {url: x, sha256: y}}", /sandbox\.rootfs: must be/],
  ] as const)
    assert.throws(() => parseConfig(text, "nexus.yaml"), problem);
});
