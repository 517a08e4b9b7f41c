import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { differencesOf } from "../../src/spec/compose/differences.ts";
import { check } from "../../src/spec/problems.ts";
import { vmSpec } from "../../src/spec/vm.ts";

const key = `ssh-ed25519 ${"A".repeat(68)}`;
const faults = (spec: object): string[] => {
  const result = check(vmSpec, { name: "web", image: "debian-12", ...spec });
  return "value" in result ? [] : result.problems.map(({ at, problem }) => `${at.join(".")}: ${problem}`);
};

describe("what a virtual machine is set up with", () => {
  it("is refused with every fault at once, each at its place", () => {
    const found = faults({
      disks: [{ name: "cidata", source: "/x" }],
      setup: {
        user: "root",
        authorizedKeys: [key, "no key", `${key}\nssh-rsa x`],
        packages: ["-o", "vim"],
        mounts: [
          { from: { disk: "gone" }, target: "/a" },
          { from: { share: "gone" }, target: "/a" },
          { from: { disk: "gone" }, target: "a/../b" },
        ],
        provision: [
          { kind: "shell", script: " " },
          { kind: "file", target: "/etc/", content: "", mode: "888" },
        ],
        typo: 1,
      },
    }).join("\n");
    for (const at of ["user", "authorizedKeys.1", "authorizedKeys.2", "packages.0", "mounts.2.target", "provision.0", "provision.1.mode"])
      assert.ok(found.includes(`setup.${at}`), `${at} in ${found}`);
    assert.doesNotMatch(found, /authorizedKeys\.0/);
    assert.match(found, /typo/);
  });

  it("names disks the machine has, of which none is Nexus's own, and nothing that mini has not", () => {
    const mounts = [
      { from: { disk: "gone" }, target: "/a" },
      { from: { share: "s" }, target: "/a" },
    ];
    assert.deepEqual(
      faults({ setup: { mounts: [mounts[0], { ...mounts[0], target: "/b" }] }, disks: [{ name: "gone", source: "/x" }] }),
      [],
    );
    assert.deepEqual(faults({ setup: { mounts } }), [
      "setup.mounts.1.target: something is mounted at /a already",
      "setup.mounts.0.from: the machine has no disk gone",
      "setup.mounts.1.from: the machine has no share s",
    ]);
    assert.deepEqual(faults({ setup: { mounts: [mounts[1]] }, disks: [{ name: "root", source: "/x" }] }), [
      'disks.0.name: "root" is the name of a disk of Nexus itself',
      "setup.mounts.0.from: the machine has no share s",
    ]);
    assert.deepEqual(faults({ image: "mini", setup: { packages: ["vim"], userData: "#!" } }), [
      "setup.userData: mini has no cloud-init: take an image that has, or a script",
      "setup.packages: mini has no packages: take an image that has",
    ]);
  });

  it("is limited in size", () => {
    const script = `: ${"x".repeat(300 * 1024)}`;
    const steps = [script, script].map((text) => ({ kind: "shell", script: text }));
    assert.deepEqual(faults({ setup: { provision: steps } }), [`setup.provision: has ${2 * script.length} bytes of text; at most 524288`]);
  });

  it("is the same whoever's key Nexus added", () => {
    const spec = (line: string) => ({ ...vmSpec.parse({ name: "web", image: "debian-12", setup: { authorizedKeys: [line] } }) });
    assert.deepEqual(differencesOf(spec(`${key} added-by-nexus`), spec(`${key.replace("AA", "AB")} added-by-nexus`)), []);
    assert.deepEqual(
      differencesOf(spec(`${key} me`), spec(`${key} added-by-nexus`)).map((one) => one.key),
      ["setup"],
    );
  });
});
