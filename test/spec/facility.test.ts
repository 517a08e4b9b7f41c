import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { facilityPath } from "../../src/spec/facility-path.ts";
import { facilityRequest, facilitySpec } from "../../src/spec/facility.ts";
import { check } from "../../src/spec/problems.ts";
import { repositoryRef, repositoryUrl, schemeOf } from "../../src/spec/repository.ts";

const faultOf = (url: string) => {
  const result = check(facilitySpec, { name: "work", clone: { url } });
  return "value" in result ? undefined : result.problems.map(({ path, problem }) => `${path}: ${problem}`).join("\n");
};

describe("a facility as it is asked for", () => {
  it("has a size, a gibibyte unless said, and never one too small for a file system", () => {
    assert.equal(facilitySpec.parse({ name: "work" }).size, 1024 ** 3);
    assert.equal(facilitySpec.parse({ name: "work", size: "64M" }).size, 64 * 1024 ** 2);
    for (const size of ["15M", 0, "-1", "1X", 1.5])
      assert.equal(facilitySpec.safeParse({ name: "work", size }).success, false, String(size));
  });

  it("keeps no credential: that is part of the request alone", () => {
    const request = { name: "work", clone: { url: "https://example.org/p.git" }, credential: { password: "s" } };
    assert.equal(facilitySpec.safeParse(request).success, false);
    assert.deepEqual(facilityRequest.parse(request).credential, { username: "git", password: "s" });
    for (const password of ["", "two\nlines", "nul\0"])
      assert.equal(facilityRequest.safeParse({ ...request, credential: { password } }).success, false);
  });

  it("clones over https, http and file", () => {
    for (const url of [
      "https://example.org/p.git",
      "https://example.org:8443/team/p",
      "http://127.0.0.1:8080/p.git",
      "https://[::1]/p.git",
      "file:///srv/git/p.git",
      "https://example.org/p.git?x=%20",
    ])
      assert.equal(faultOf(url), undefined, url);
    assert.equal(schemeOf("https://example.org/p.git"), "https");
  });

  it("clones over nothing else: other transports, helpers, options and paths are refused", () => {
    for (const url of [
      "ext::sh -c touch% /tmp/pwned",
      "ext::sh",
      "EXT::sh",
      "fd::17",
      "https::https://example.org/p",
      "ssh://-oProxyCommand=touch/x",
      "ssh://git@example.org/p.git",
      "git://example.org/p.git",
      "git+ssh://example.org/p.git",
      "git@example.org:team/p.git",
      "-oProxyCommand=touch /tmp/x",
      "--upload-pack=touch /tmp/x",
      "--config=core.hooksPath=/x",
      "/srv/git/p.git",
      "../p.git",
      "./p",
      "p",
      "",
      "file://host/p",
      "file://",
      "file:p",
      "ftp://example.org/p",
      "https://",
      "https:///p",
      "https://example.org",
      "https://example.org/",
      "https://example.org/p.git#main",
      "https://exa mple.org/p",
      "https://example.org/p\n--upload-pack=x",
      "https://example.org/p\0",
      "https://example.org/$(touch x)`touch y`",
      "https://example.org\\@evil.example/p",
      "HTTPS://example.org/p.git",
    ])
      assert.notEqual(faultOf(url), undefined, url);
    assert.match(faultOf("ssh://example.org/p") ?? "", /--credential/);
  });

  it("takes no user or password in an address, and does not repeat it", () => {
    for (const url of [
      "https://user:s3cret@example.org/p.git",
      "https://s3cret@example.org/p.git",
      "https://:s3cret@example.org/p.git",
      "https://@example.org/p.git",
    ]) {
      const fault = faultOf(url) ?? "";
      assert.match(fault, /--credential FILE/, url);
      assert.doesNotMatch(fault, /s3cret/);
    }
  });

  it("an address that is taken is never an option, and names nobody", () => {
    const words = fc.array(
      fc.constantFrom(
        "https://",
        "http://",
        "file:///",
        "ext::",
        "ssh://",
        "-o",
        "--",
        "user:pass@",
        "host",
        "/",
        "p.git",
        ":",
        "@",
        "?",
        "#",
        "%",
        " ",
        "\\",
        "[",
        "]",
        "\t",
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          words.map((parts) => parts.join("")),
          fc.webUrl({ withQueryParameters: true }),
          fc.string(),
        ),
        (url) => {
          if (!repositoryUrl.safeParse(url).success) return;
          assert.match(url, /^(https?|file):\/\/[!-~]+$/);
          const { username, password } = new URL(url);
          assert.deepEqual([username, password], ["", ""]);
        },
      ),
    );
  });

  it("checks out branches, tags and commits, and never an option", () => {
    for (const ref of ["main", "v1.2.3", "feature/x-1", "release@2", "a".repeat(40)]) assert.ok(repositoryRef.safeParse(ref).success, ref);
    for (const ref of [
      "",
      "-b",
      "--upload-pack=x",
      "a..b",
      "a b",
      "a\nb",
      "/a",
      "a/",
      "a//b",
      "a.lock",
      "a.lock/b",
      "a/.b",
      "@{1}",
      "a@{1}",
      "a^0",
      "a~1",
      "a:b",
      "a\\b",
      "*",
      ".",
    ])
      assert.equal(repositoryRef.safeParse(ref).success, false, ref);
  });

  it("has paths below its directory, written with or without a slash before them", () => {
    assert.deepEqual([facilityPath.parse("src/a"), facilityPath.parse("/src/a")], ["/src/a", "/src/a"]);
    for (const path of ["", "a\0b", "\ud800", "a".repeat(4095)]) assert.equal(facilityPath.safeParse(path).success, false);
  });
});
