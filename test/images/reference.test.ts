import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { compressionOf, parseImageConfig, parseManifest } from "../../src/images/manifest.ts";
import { formatReference, parseReference } from "../../src/images/reference.ts";
import { parseChallenge } from "../../src/images/registry-auth.ts";

const digest = `sha256:${"a".repeat(64)}`;

test("short names mean what container tools take them for", () => {
  const full = (text: string): string => formatReference(parseReference(text));
  assert.equal(full("alpine"), "docker.io/library/alpine:latest");
  assert.equal(full("alpine:3.20"), "docker.io/library/alpine:3.20");
  assert.equal(full("team/app"), "docker.io/team/app:latest");
  assert.equal(full("index.docker.io/library/alpine"), "docker.io/library/alpine:latest");
  assert.equal(full("localhost/app"), "localhost/app:latest");
  assert.equal(full("localhost:5000/app:1"), "localhost:5000/app:1");
  assert.equal(full("[::1]:5000/a/b"), "[::1]:5000/a/b:latest");
  assert.equal(full(`reg.example.org/a/b@${digest}`), `reg.example.org/a/b@${digest}`);
  assert.equal(full(`reg.example.org/a/b:1@${digest}`), `reg.example.org/a/b:1@${digest}`);
});

test("what is no reference is refused as misspelt, with a reason", () => {
  for (const text of [
    "",
    "Alpine",
    "a//b",
    "a:",
    "a@sha256:12",
    "a b",
    "-a",
    "a..b",
    "http://x/y",
    "a/../b",
    "reg.org/",
    "a:b:c/d",
    `a@${digest}@${digest}`,
  ]) {
    assert.throws(
      () => parseReference(text),
      (error) => error instanceof NexusError && error.code === "usage",
      text,
    );
  }
});

test("any text is a reference that reads back as itself, or is refused", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab.:/@-_A1[]%".split("")), maxLength: 30 }), (text) => {
      try {
        const once = formatReference(parseReference(text));
        assert.equal(formatReference(parseReference(once)), once);
      } catch (error) {
        assert.ok(error instanceof NexusError, String(error));
      }
    }),
  );
});

test("documents are values or a WireError", () => {
  const parsers = [parseManifest, parseImageConfig];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
        fc
          .record(
            { manifests: fc.jsonValue(), config: fc.jsonValue(), layers: fc.jsonValue(), rootfs: fc.jsonValue() },
            { requiredKeys: [] },
          )
          .map((value) => Buffer.from(JSON.stringify(value))),
      ),
      (bytes) => {
        for (const parse of parsers) {
          try {
            parse(bytes);
          } catch (error) {
            assert.ok(error instanceof WireError, String(error));
          }
        }
      },
    ),
  );
  assert.throws(() => compressionOf("application/vnd.oci.image.layer.v1.tar+xz"), WireError);
});

test("challenges are read as registries write them", () => {
  assert.deepEqual(parseChallenge('Bearer realm="https://auth.example.org/token",service="reg",scope="repository:a/b:pull,push"'), {
    scheme: "bearer",
    realm: "https://auth.example.org/token",
    service: "reg",
    scope: "repository:a/b:pull,push",
  });
  assert.deepEqual(parseChallenge('Basic realm="x"'), { scheme: "basic" });
  assert.equal(parseChallenge("Negotiate"), undefined);
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => void parseChallenge(`Bearer ${text}`)));
});
